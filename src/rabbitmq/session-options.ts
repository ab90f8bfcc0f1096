import type { ConsumerGroup } from '../backend.js';
import type { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { QueueEvents } from '../core/events.js';
import type { OwnReleases } from '../core/own-releases.js';
import type { Logger } from '../internal/logger.js';
import type { Consuming } from './consuming.js';
import type { DelayedMessages } from './delayed-messages.js';
import type { DoneWith } from './done-with.js';
import type { GroupLog } from './group-log.js';
import type { QueueNames } from './names.js';
import type { Publisher } from './publisher.js';
import type { Topology } from './topology.js';

/** What the subscribers of one group share. */
export interface SessionOptions {
  readonly queueName: string;
  readonly group: ConsumerGroup;
  readonly names: QueueNames;
  readonly consuming: Consuming;
  readonly topology: Topology;
  /** Sends the copies of messages that are delayed or go to quarantine. */
  readonly publisher: Publisher;
  readonly delayed: DelayedMessages;
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly logger: Logger;
  readonly log: GroupLog;
  /** Messages that were acknowledged here, though the broker may not know. */
  readonly done: DoneWith;
  /** Messages that were released here: the broker counts a release as a delivery. */
  readonly released: OwnReleases;
  /** Messages that were requeued here: until the broker has them, it counts them nowhere. */
  readonly returning: DelayedInTransit;
}

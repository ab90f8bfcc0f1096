import type { ConsumerGroup } from '../backend.js';
import type { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { OwnReleases } from '../core/own-releases.js';
import type { Logger } from '../internal/logger.js';
import type { Consuming } from './consuming.js';
import type { DelayedMessages } from './delayed-messages.js';
import type { DoneWith } from './done-with.js';
import type { GroupLog } from './group-log.js';
import type { QueueNames } from './names.js';
import type { Publisher } from './publisher.js';
import type { Topology } from './topology.js';

export interface SubscriptionOptions {
  readonly queueName: string;
  readonly group: ConsumerGroup;
  readonly names: QueueNames;
  readonly consuming: Consuming;
  readonly topology: Topology;
  /** For what is delayed, or moved aside. */
  readonly publisher: Publisher;
  readonly delayed: DelayedMessages;
  readonly failures: EngineErrors;
  readonly logger: Logger;
  readonly log: GroupLog;
  /** What was acknowledged here, though nobody knows whether the broker heard of it. */
  readonly done: DoneWith;
  /** What was given back from here without having failed: the broker counts that as delivered. */
  readonly released: OwnReleases;
  /** What went back from here, of which the broker may not have heard yet: it counts what it thinks to be out nowhere. */
  readonly returning: DelayedInTransit;
}

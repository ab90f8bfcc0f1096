import type { ConsumerGroup } from '../backend.js';
import type { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { OwnReleases } from '../core/own-releases.js';
import type { Consuming } from './consuming.js';
import type { QueueContext } from './context.js';
import type { GroupLog } from './group-log.js';
import type { Publisher } from './publisher.js';
import type { Topology } from './topology.js';
import type { UnconfirmedAcks } from './unconfirmed-acks.js';

/** What the subscribers of one group share. */
export interface SessionOptions extends QueueContext {
  readonly group: ConsumerGroup;
  readonly consuming: Consuming;
  readonly topology: Topology;
  /** Sends the copies of messages that are delayed or go to quarantine. */
  readonly publisher: Publisher;
  readonly log: GroupLog;
  readonly unconfirmed: UnconfirmedAcks;
  /** The releases of this process. The broker counts them as deliveries. */
  readonly released: OwnReleases;
  /** Messages that were requeued here. Until the broker has them, it counts them nowhere. */
  readonly requeued: DelayedInTransit;
}

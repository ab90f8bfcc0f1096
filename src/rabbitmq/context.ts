import type { ConsumerGroup } from '../backend.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { QueueEvents } from '../core/events.js';
import type { Logger } from '../internal/logger.js';
import type { DelayedMessages } from './delayed-messages.js';
import type { Existence } from './existence.js';
import type { QueueNames } from './names.js';

/** What all parts of one queue share. */
export interface QueueContext {
  readonly queueName: string;
  readonly names: QueueNames;
  /** The declared groups. */
  readonly groups: readonly ConsumerGroup[];
  /** Identifies the server and its vhost within this process. */
  readonly serverId: string;
  /** Undefined for the client of a caller that hides its vhost. */
  readonly vhost: string | undefined;
  readonly existence: Existence;
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly delayed: DelayedMessages;
  readonly logger: Logger;
}

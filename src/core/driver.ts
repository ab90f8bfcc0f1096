import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery, GroupInfo, MessageView, QueueStats } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { CheckedMessage } from '../internal/check-message.js';
import type { EngineErrors } from './engine-errors.js';
import type { QueueEvents } from './events.js';

/** Sends messages to an engine. `PublishLoop` is one. */
export interface DriverPublisher {
  /** Resolves when the engine has confirmed the message. @throws {InvalidMessageError} if the message is larger than the engine takes */
  publish(message: CheckedMessage): Promise<void>;
  /** Sends what was published before, while there is a connection. Resolves when nothing is left. */
  close(): Promise<void>;
  /** Rejects the publishes that are not confirmed. */
  abandon(): void;
}

/** All subscriptions of this process to one group. `GroupLoop` is one. */
export interface DriverConsumer {
  /** Delivers to a subscriber until the subscriber unsubscribes, the signal aborts or the queue is closed. */
  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void;
  /** Resolves when the engine has confirmed every settlement that was made before. */
  settled(): Promise<void>;
  /** Ends the streams and requeues what is in flight. Resolves when the engine has confirmed that, or cannot be reached. */
  close(): Promise<void>;
  /** Stops immediately, without telling the engine. */
  abandon(): void;
}

/**
 * What an engine does for `groups()`, `deleteGroup`, `peek` and `purge`. Each call gets a signal that aborts when its deadline has
 * passed.
 */
export interface DriverAdministration {
  groups(signal: AbortSignal): Promise<readonly Omit<GroupInfo, 'declared'>[]>;
  deleteGroup(group: ConsumerGroup, signal: AbortSignal): Promise<boolean>;
  /** @throws {UnsupportedOperationError} (a rejection) if the engine cannot show waiting messages */
  peek(group: ConsumerGroup, limit: number, signal: AbortSignal): Promise<readonly MessageView[]>;
  /** @param group undefined: every group */
  purge(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<number>;
}

/** A queue on an engine, under a `DriverBackend`. Nothing connects before it is used. */
export interface Driver {
  readonly failures: EngineErrors;
  readonly events?: QueueEvents | undefined;
  readonly publisher: DriverPublisher;
  readonly administration?: DriverAdministration | undefined;
  createConsumer(group: ConsumerGroup): DriverConsumer;
  /**
   * Counts the messages of one group, or of all groups. Counts again after a lost connection, until the signal aborts: after an outage,
   * the engine does not answer callers that have given up.
   */
  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats>;
  /** Why there is no connection, if that is known. */
  lastError(): unknown;
  /** Tells the engine what it still has to know. Called once publishes and settlements are confirmed. */
  shutDown(): Promise<void>;
  /** Closes the connections immediately. */
  close(): void;
}

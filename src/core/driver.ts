import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery, GroupInfo, MessageView, QueueDiagnosis, QueueStats } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { CheckedMessage } from '../internal/check-message.js';
import type { EngineErrors } from './engine-errors.js';
import type { QueueEvents } from './events.js';

/** Sends messages to an engine. `PublishLoop` is one. */
export interface DriverPublisher {
  /**
   * Resolves when the engine has confirmed the message.
   * @throws {InvalidMessageError} if the message is larger than the engine accepts
   */
  publish(message: CheckedMessage): Promise<void>;
  /** Sends the published messages while there is a connection. Resolves when none is left. */
  close(): Promise<void>;
  /** Rejects the unconfirmed publishes. */
  abandon(): void;
}

/** All subscriptions of this process to one group. `GroupLoop` is one. */
export interface DriverConsumer {
  /**
   * Delivers to a subscriber until the subscriber unsubscribes, the signal aborts or the queue is
   * closed.
   */
  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void;
  /** Resolves when the engine has confirmed every settlement that was made before. */
  settled(): Promise<void>;
  /**
   * Ends the streams and requeues the messages in flight. Resolves when the engine has confirmed
   * that, or cannot be reached.
   */
  close(): Promise<void>;
  /** Stops immediately, without telling the engine. */
  abandon(): void;
}

/**
 * Implements `groups()`, `deleteGroup`, `peek`, `purge`, `diagnose` and `deleteQueue` on an engine. The signal of a call
 * aborts at its deadline.
 */
export interface DriverAdministration {
  groups(signal: AbortSignal): Promise<readonly Omit<GroupInfo, 'declared'>[]>;
  deleteGroup(group: ConsumerGroup, signal: AbortSignal): Promise<boolean>;
  /**
   * @throws {UnsupportedOperationError} (a rejection) if the engine cannot show waiting messages
   */
  peek(group: ConsumerGroup, limit: number, signal: AbortSignal): Promise<readonly MessageView[]>;
  /** @param group undefined: every group */
  purge(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<number>;
  /** Changes nothing. */
  diagnose?(signal: AbortSignal): Promise<QueueDiagnosis>;
  /** Deletes all groups and messages, and whatever else the queue has on the server. */
  deleteQueue?(signal: AbortSignal): Promise<void>;
}

/** A queue on an engine, under a `DriverBackend`. Nothing connects before it is used. */
export interface Driver {
  readonly failures: EngineErrors;
  readonly events: QueueEvents;
  readonly publisher: DriverPublisher;
  readonly administration?: DriverAdministration | undefined;
  createConsumer(group: ConsumerGroup): DriverConsumer;
  /**
   * Counts the messages of one group, or of all groups. Repeats the request after a lost
   * connection, until the signal aborts: no request of a caller that has given up reaches the
   * engine after an outage.
   */
  count(group: ConsumerGroup | undefined, signal: AbortSignal): Promise<QueueStats>;
  /** Why there is no connection. Undefined if the reason is unknown. */
  lastError(): unknown;
  /**
   * Sends the last requests, such as leaving. Called when publishes and settlements are confirmed.
   */
  shutDown(): Promise<void>;
  /** Closes the connections immediately. */
  close(): void;
}

import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { DriverAdministration } from './driver.js';
import type { ErrorKind } from './engine-errors.js';

/** A message as an engine stores it. */
export interface StoredMessage {
  /** The id of the publisher, or one that no other message has. */
  readonly id: string;
  readonly key: string;
  /** JSON. */
  readonly payload: string;
  /** JSON. Undefined: there are none. */
  readonly headers: string | undefined;
  /** In milliseconds since the epoch. */
  readonly publishedAt: number;
}

/** A message that is published. */
export interface OutgoingMessage extends StoredMessage {
  /** The only group that gets the message. Undefined: every group. */
  readonly group: ConsumerGroup | undefined;
  /** How long the message stays away, in milliseconds from now. */
  readonly delay: number;
  /** Whether `id` is the publisher's own: then a message with that id is stored once within `dedupeWindow`. */
  readonly deduplicate: boolean;
}

/** A message that the engine delivers. */
export interface IncomingMessage extends StoredMessage {
  /** Identifies this delivery: no other delivery of this or another message has it. */
  readonly receipt: string;
  /** Which delivery of the message to this group this is, from 1 up. */
  readonly attempt: number;
}

/** How a delivery ended. */
export interface StoredSettlement<Incoming extends IncomingMessage = IncomingMessage> {
  /** As `exchange` returned it. */
  readonly message: Incoming;
  /** `'done'`: never delivered again. `'requeue'`: back to its place. `'quarantine'`: kept apart, for a person to look at. */
  readonly outcome: 'done' | 'requeue' | 'quarantine';
  /** For `'requeue'`: which delivery the next one is. */
  readonly attempt: number;
  /** For `'requeue'`: how long the message stays away, in milliseconds from now. */
  readonly delay: number;
  /** For `'quarantine'`: why. */
  readonly reason: string | undefined;
}

/** What a group asks of its engine in one round trip. */
export interface ExchangeRequest<Incoming extends IncomingMessage = IncomingMessage> {
  readonly settlements: readonly StoredSettlement<Incoming>[];
  /** Messages in flight whose leases are to be renewed. */
  readonly renew: readonly Incoming[];
  /** How many messages to deliver at most. */
  readonly demand: number;
  /** In milliseconds. A message that is neither settled nor renewed within it is delivered to another consumer. */
  readonly lease: number;
}

export interface ExchangeReply<Incoming extends IncomingMessage = IncomingMessage> {
  /** Whether each settlement counted, in the order of the request: `false` if the lease had expired. */
  readonly settled: readonly boolean[];
  /** In the order of the queue. The settlements of the request come first: a message that was requeued may be among them. */
  readonly messages: readonly Incoming[];
  /** In how many milliseconds the next delayed message becomes due. Undefined: there is none. */
  readonly wait?: number | undefined;
}

/**
 * A queue on an engine that is asked for messages, such as a table in a database. The core owns the rest: the contract, subscriptions
 * and credit, batching, reconnecting, leases, deadlines, closing.
 *
 * Calls may run concurrently, except `exchange` and `publish`, of which there is one at a time for a group and for the queue. A call
 * that rejects is repeated with the same arguments, unless `classify` calls the error fatal, so calls are idempotent. The driver must
 * not change or keep its arguments.
 */
export interface PullDriver<Incoming extends IncomingMessage = IncomingMessage> {
  /** What the engine is called in messages, such as `PostgreSQL`. */
  readonly engine: string;
  /** Where it is, for messages; without a password. Default: `the server`. */
  readonly server?: string | undefined;
  /** The largest payload that the engine takes, in bytes of JSON. Default: any. */
  readonly maxPayload?: number | undefined;
  /** Connects, and creates what is missing: the queue and its declared groups. Called before everything else, and after a lost connection. */
  open(): Promise<void>;
  /** Stores messages in order. Resolves when they are safe. */
  publish(messages: readonly OutgoingMessage[]): Promise<void>;
  exchange(group: ConsumerGroup, request: ExchangeRequest<Incoming>): Promise<ExchangeReply<Incoming>>;
  /** Calls back when a group may have a message. Returns a function that stops that. Default: the core asks every second. */
  listen?(group: ConsumerGroup, wake: () => void): () => void;
  /** @param group undefined: every group, where a message counts once */
  count(group: ConsumerGroup | undefined): Promise<QueueStats>;
  /** What an error says about the next attempt. Default: `'retryable'`. */
  classify?(error: unknown): ErrorKind;
  readonly administration?: DriverAdministration | undefined;
  close?(): Promise<void> | void;
}

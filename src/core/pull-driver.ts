import type { ConsumerGroup, QueueStats } from '../backend.js';
import type { DriverAdministration } from './driver.js';
import type { ErrorKind } from './engine-errors.js';

/** A message as an engine stores it. */
export interface StoredMessage {
  /** The id that the publisher gave, or a generated, unique one. */
  readonly id: string;
  readonly key: string;
  /** JSON. */
  readonly payload: string;
  /** Its metadata, such as headers, as JSON. Undefined: there is none. */
  readonly metadata: string | undefined;
  /** In milliseconds since the epoch. */
  readonly publishedAt: number;
}

/** A message that is published. */
export interface OutgoingMessage extends StoredMessage {
  /** The only group that gets the message. Undefined: every group. */
  readonly group: ConsumerGroup | undefined;
  /** How long the message stays away, in milliseconds from now. */
  readonly delay: number;
  /**
   * Whether the publisher gave `id`. A message with that id is then stored once within
   * `dedupeWindow`.
   */
  readonly deduplicate: boolean;
}

/** A message that the engine delivers. */
export interface IncomingMessage extends StoredMessage {
  /** Identifies this delivery. It is unique among all deliveries of all messages. */
  readonly receipt: string;
  /** The number of this delivery of the message to this group, from 1 up. */
  readonly attempt: number;
}

/** The settlement of a delivery. */
export interface StoredSettlement<Incoming extends IncomingMessage = IncomingMessage> {
  /** As `exchange` returned it. */
  readonly message: Incoming;
  /**
   * `'done'`: never deliver it again. `'requeue'`: back to its place. `'quarantine'`: keep it
   * apart, for inspection.
   */
  readonly outcome: 'done' | 'requeue' | 'quarantine';
  /** For `'requeue'`: the `attempt` of the next delivery. */
  readonly attempt: number;
  /** For `'requeue'`: the delay of the next delivery, in milliseconds from now. */
  readonly delay: number;
  /** For `'quarantine'`: why. */
  readonly reason: string | undefined;
}

/** What a group requests in one round trip. */
export interface ExchangeRequest<Incoming extends IncomingMessage = IncomingMessage> {
  readonly settlements: readonly StoredSettlement<Incoming>[];
  /**
   * All messages in flight of this group, if their leases are to be renewed: after a third of the
   * lease, and after a lost reply. The engine may requeue other messages that it counts as in
   * flight here: they were lost on the way.
   */
  readonly inFlight: readonly Incoming[] | undefined;
  /** The most messages to deliver. */
  readonly demand: number;
  /**
   * In milliseconds. A message that is neither settled nor renewed within it is delivered to
   * another consumer.
   */
  readonly lease: number;
}

export interface ExchangeReply<Incoming extends IncomingMessage = IncomingMessage> {
  /**
   * Whether each settlement counted, in the order of the request: `false` if the lease had expired.
   */
  readonly settled: readonly boolean[];
  /**
   * In the order of the queue. Apply the settlements first: a requeued message may be among the
   * messages.
   */
  readonly messages: readonly Incoming[];
  /**
   * When the next delayed message becomes due, in milliseconds from now. Undefined: there is none.
   */
  readonly wait?: number | undefined;
}

/**
 * A queue on an engine that consumers poll, such as a table in a database. The core does the rest:
 * the contract, subscriptions and credit, batching, reconnecting, leases, deadlines, closing.
 *
 * Calls may run concurrently. But there is one `publish` at a time, and for each group one
 * `exchange` and one `settle`. A call that rejects is repeated with the same arguments, unless
 * `classify` returns `'fatal'`. So calls must be idempotent. The driver must not change or keep its
 * arguments.
 */
export interface PullDriver<Incoming extends IncomingMessage = IncomingMessage> {
  /** The name of the engine in messages, such as `PostgreSQL`. */
  readonly engine: string;
  /** The address of the server in messages, without a password. Default: `the server`. */
  readonly server?: string | undefined;
  /** Where messages in quarantine are, in messages. Default: `the store`. */
  readonly quarantine?: string | undefined;
  /**
   * How often a group is polled whose engine does not call back, in milliseconds. Default: 1,000.
   */
  readonly pollInterval?: number | undefined;
  /** The largest payload that the engine accepts, in bytes of JSON. Default: any. */
  readonly maxPayload?: number | undefined;
  /**
   * Connects, and creates the queue and its declared groups if they are missing. Called first, and
   * after a lost connection.
   * @param lost reports a connection that was lost between two calls
   */
  open(lost: (cause: unknown) => void): Promise<void>;
  /**
   * Stores messages in order. Resolves when they are safe.
   * @param batch the number of this batch of this publisher, from 1 up. After a lost reply, the
   * batch is sent again with its number, and must be stored once. Messages that have timed out
   * meanwhile are left out.
   */
  publish(messages: readonly OutgoingMessage[], batch: number): Promise<void>;
  exchange(group: ConsumerGroup, request: ExchangeRequest<Incoming>): Promise<ExchangeReply<Incoming>>;
  /**
   * Settles many messages with the outcome `'done'`, while `exchange` delivers others. Resolves as
   * `ExchangeReply.settled`. Default: `exchange` settles them.
   */
  settle?(group: ConsumerGroup, settlements: readonly StoredSettlement<Incoming>[]): Promise<readonly boolean[]>;
  /**
   * Calls back when a group may have a message. Returns a function that removes the listener.
   * Default: the core polls.
   */
  listen?(group: ConsumerGroup, wake: () => void): () => void;
  /** @param group undefined: every group, where a message counts once */
  count(group: ConsumerGroup | undefined): Promise<QueueStats>;
  /** Classifies an error. Default: `'retryable'`. */
  classify?(error: unknown): ErrorKind;
  /** Explains an error in a sentence without its full stop. Default: its own message. */
  explain?(error: unknown): string | undefined;
  readonly administration?: DriverAdministration | undefined;
  /** Sends the last requests. Called when publishes and settlements are confirmed. */
  close?(): Promise<void> | void;
  /** Closes the connections immediately. Called last, also if the engine does not respond. */
  destroy?(): void;
}

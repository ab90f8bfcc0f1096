import type { Observable } from 'rxjs';

/**
 * Declared here, because a reference to the lib `esnext.disposable` is an error before TypeScript
 * 5.2.
 */
declare global {
  interface SymbolConstructor {
    readonly dispose: unique symbol;
    readonly asyncDispose: unique symbol;
  }

  interface Disposable {
    [Symbol.dispose](): void;
  }

  interface AsyncDisposable {
    [Symbol.asyncDispose](): PromiseLike<void>;
  }
}

/** The routing key or topic of a message: 1 to 255 bytes of well-formed UTF-8. */
export type QueueKey = string;

/** The content of a message: a JSON object. */
export type QueuePayload = object;

/** The name of a consumer group: 1 to 255 bytes of well-formed UTF-8. */
export type ConsumerGroup = string;

/**
 * The constraint of an event map: each key names the payload type of its messages. Interfaces
 * match.
 */
export type EventMap<Events> = { [Key in keyof Events]: QueuePayload };

/** The events of an untyped queue: any key, any object. */
export interface AnyEvents {
  [key: QueueKey]: QueuePayload;
}

export type KeyOf<Events> = Extract<keyof Events, QueueKey>;

export type PayloadOf<Events> = Events[KeyOf<Events>] & QueuePayload;

/**
 * A published message: its key and its payload. A union over the keys, so that the key narrows the
 * payload.
 */
export type QueueEntry<Events extends EventMap<Events> = AnyEvents> = {
  [Key in KeyOf<Events>]: readonly [key: Key, payload: Events[Key]];
}[KeyOf<Events>];

/**
 * The arguments of `publish`. A union over the keys, so that a key of a union type is checked with
 * its payload.
 */
export type PublishArguments<Events extends EventMap<Events> = AnyEvents> = {
  [Key in KeyOf<Events>]: [key: Key, payload: Events[Key], options?: PublishOptions | undefined];
}[KeyOf<Events>];

/** Metadata of a message, from its publisher to every consumer. */
export type MessageHeaders = Readonly<Record<string, string>>;

export interface PublishOptions {
  /** Metadata of the message. It is copied. Default: none. */
  readonly headers?: MessageHeaders | undefined;
  /** How long to delay the message, in milliseconds from the call, >= 0. Default: 0. */
  readonly delay?: number | undefined;
  /**
   * The only group that gets the message. Default: every declared group. If the group is not
   * declared, the publish rejects with a `ConfigurationError`.
   */
  readonly group?: ConsumerGroup | undefined;
  /**
   * The id of the message, 1 to 255 bytes of well-formed UTF-8, for deduplication. Within the
   * `dedupeWindow` of the backend, a duplicate is not stored, and its `publish` resolves. Default:
   * a unique id.
   */
  readonly id?: string | undefined;
  /**
   * Aborts the publish while it waits. It rejects with `signal.reason`, and the message was not
   * enqueued.
   */
  readonly signal?: AbortSignal | undefined;
}

export interface ConsumeOptions {
  /** The group to consume for. Default: `default`. */
  readonly group?: ConsumerGroup | undefined;
  /**
   * How many deliveries the subscriber may have in flight, an integer >= 1. Default: 32 for a
   * subscription, 1 for an iteration and for `consume`.
   */
  readonly prefetch?: number | undefined;
  /**
   * Stops the intake. The stream then ends without an error. Deliveries in flight can still be
   * settled.
   */
  readonly signal?: AbortSignal | undefined;
}

export interface StatsOptions {
  /** The group to count for. Default: every group, where a message counts once. */
  readonly group?: ConsumerGroup | undefined;
}

export interface QueueStats {
  /** Messages that a consumer can receive now, without delayed messages and those in flight. */
  readonly ready: number;
  /**
   * Messages that are not settled: waiting, delayed or in flight. RabbitMQ does not count those in
   * flight in other processes.
   */
  readonly unfinished: number;
}

export interface NackOptions {
  /** The delay before the redelivery, in milliseconds, >= 0. Default: 0. */
  readonly delay?: number | undefined;
}

/** How a delivery was settled. `false` while it is in flight. */
export type Settlement = false | 'acked' | 'retried' | 'released' | 'rejected';

/** A delivered message, with the key and the payload of one event. */
export interface DeliveryOf<Key extends QueueKey, Payload extends QueuePayload> {
  readonly queue: string;
  /** Identifies the message: all its deliveries have this id. */
  readonly id: string;
  readonly key: Key;
  readonly payload: Payload;
  readonly headers: MessageHeaders;
  /**
   * The number of this delivery of the message, from 1 up. An upper bound on the engines with a
   * server.
   */
  readonly attempt: number;
  /** When the message was published, in milliseconds since the epoch. */
  readonly publishedAt: number;
  /**
   * How it was settled. Also `'retried'` or `'released'` if it was requeued because its consumer
   * left.
   */
  readonly settled: Settlement;
  /** Acknowledges the message: it is done for this group. Resolves to whether this call counted. */
  ack(): Promise<boolean>;
  /**
   * Requeues the failed message to its place, with `attempt + 1`. Resolves to whether this call
   * counted.
   * @throws {TypeError | RangeError} (a rejection) if `delay` is invalid. The delivery stays in
   * flight.
   */
  nack(options?: NackOptions): Promise<boolean>;
  /**
   * Requeues the unprocessed message to its place. `attempt` stays the same if the engine allows.
   * Resolves to whether this call counted.
   */
  release(): Promise<boolean>;
  /** Rejects the message: this group never gets it again. Resolves to whether this call counted. */
  reject(reason?: unknown): Promise<boolean>;
}

/**
 * A message in flight, until its consumer settles it.
 *
 * *Gotchas*: a delivery computes some fields when they are read. `{ ...delivery }` and
 * `structuredClone` do not copy all of them; `JSON.stringify` does.
 *
 * The first settlement wins and resolves to `true`. A later one changes nothing, logs a warning and
 * resolves to `false`. With typed events, this is a union over the keys: `delivery.key ===
 * 'orders.created'` narrows `delivery.payload`.
 */
export type Delivery<Events extends EventMap<Events> = AnyEvents> = {
  [Key in KeyOf<Events>]: DeliveryOf<Key, Events[Key]>;
}[KeyOf<Events>];

/**
 * A stream of deliveries: an Observable and an AsyncIterable.
 *
 * A subscriber settles its deliveries, with at most `prefetch` in flight. Unsubscribing requeues
 * them. A loop acknowledges an unsettled delivery when it asks for the next one, and requeues it
 * when it leaves.
 */
export type DeliveryStream<Events extends EventMap<Events> = AnyEvents> = StreamOf<Delivery<Events>>;

/**
 * A stream of deliveries of one type. Its type parameter is the delivery, so that a stream of some
 * events is assignable to a stream of any events. Event maps are not assignable in this way.
 */
export interface StreamOf<Item> extends Observable<Item> {
  /** How many deliveries a subscriber may have in flight. */
  readonly prefetch: number;
  [Symbol.asyncIterator](): AsyncIterableIterator<Item> & AsyncDisposable;
}

/**
 * The contract of a queue: what services use and backends implement.
 *
 * Many consumers may call the stream methods at once. Do not change a payload after `publish`: it
 * belongs to the backend.
 */
export interface QueueBackend<Events extends EventMap<Events> = AnyEvents> extends AsyncDisposable {
  /** The name of the queue. */
  readonly name: string;

  /**
   * Publishes a message and waits until the backend has stored it. If it rejects, the message was
   * not enqueued, or the error says that it may have been.
   * @throws {InvalidMessageError} (a rejection, like all others) if the key, the payload or a
   * header is invalid
   * @throws {QueueClosedError} after `close()`
   * @throws {QueueOverflowError} if the queue is full and its policy is to refuse
   * @throws `signal.reason` if the signal aborts first
   */
  publish(...message: PublishArguments<Events>): Promise<void>;

  /**
   * Iterates over payloads, at most once. The loop acknowledges a payload when it asks for the next
   * one or leaves, even by a throw. For work that must not be lost use `deliveries()`.
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>>;

  /** Delivers messages that the subscriber settles: at least once. */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events>;

  /**
   * Counts the messages.
   * @throws {ConfigurationError} (a rejection, like all others) if the group is not declared
   * @throws {QueueClosedError} after `close()`, except on memory, which still drains then
   * @throws {BackendUnavailableError} if the engine does not respond in time
   */
  stats(options?: StatsOptions): Promise<QueueStats>;

  /** Closes the backend. Does not wait for handlers. Idempotent. */
  close(): Promise<void>;
}

/** A consumer group of a queue, as `groups()` finds it. */
export interface GroupInfo {
  readonly name: ConsumerGroup;
  /** Whether this backend declares the group. */
  readonly declared: boolean;
  /** Messages that a consumer of the group can receive now. */
  readonly ready: number;
  /** Messages that the group has not settled: waiting, delayed or in flight. */
  readonly unfinished: number;
  /**
   * The number of consumers of the group, in all processes. Undefined if the engine does not tell.
   */
  readonly consumers?: number | undefined;
}

export interface PeekOptions {
  /** The group whose messages to look at. Default: `default`. */
  readonly group?: ConsumerGroup | undefined;
  /** How many messages to return at most, an integer >= 1. Default: 20. */
  readonly limit?: number | undefined;
}

/** A waiting message, as `peek()` shows it. */
export interface MessageView {
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly headers: MessageHeaders;
  /** The number of the next delivery of the message, from 1 up. */
  readonly attempt: number;
  /** When the message was published, in milliseconds since the epoch. */
  readonly publishedAt: number;
  /** When the message becomes due, in milliseconds since the epoch. Undefined if it is ready. */
  readonly due?: number | undefined;
}

export interface PurgeOptions {
  /** The group whose messages to remove. Default: every group. */
  readonly group?: ConsumerGroup | undefined;
}

/** What is wrong with a queue or its server, or worth knowing. */
export interface QueueFinding {
  /** Identifies the kind of finding, such as `redis-appendfsync`. It does not change between versions. */
  readonly code: string;
  /**
   * `'problem'`: messages can get lost, are stuck, or are retained without end. `'note'`: it is
   * worth knowing, or could not be checked.
   */
  readonly severity: 'problem' | 'note';
  /** What is wrong and what follows from it, in sentences. Contains no password. */
  readonly message: string;
  /** The command of a POSIX shell that fixes it. Undefined if no command does. */
  readonly command?: string | undefined;
}

/** What `diagnose()` finds out about a queue and its server. */
export interface QueueDiagnosis {
  /** The server with its version, such as `Redis 8.2.1`. */
  readonly server: string;
  /** The packages of the client. */
  readonly clients: readonly string[];
  /**
   * How far the clock of the server is ahead of the clock of this process, in milliseconds.
   * Undefined if the engine does not tell.
   */
  readonly clockDifference?: number | undefined;
  readonly findings: readonly QueueFinding[];
}

/**
 * The state of a backend's connection. `'idle'`: nothing has used the queue yet. `'disconnected'`:
 * the connection was lost, and the backend reconnects. A `MemoryBackend` goes from `'idle'` to
 * `'connected'` with its first use.
 */
export type QueueStatus = 'idle' | 'connecting' | 'connected' | 'disconnected' | 'closed';

/** A queue with its administration: what every built-in backend implements. */
export interface ManagedQueue<Events extends EventMap<Events> = AnyEvents> extends QueueBackend<Events> {
  /** Emits the current status first, then every change. Completes after `'closed'`. */
  readonly status$: Observable<QueueStatus>;

  /**
   * Lists the groups of the queue: the declared ones, and those that other processes have created.
   * @throws {QueueClosedError} (a rejection, like all others) after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond in time
   */
  groups(): Promise<GroupInfo[]>;

  /**
   * Deletes a group with its messages. Resolves to whether the group existed.
   * @throws {ConfigurationError} (a rejection, like all others) if this backend declares the group
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond in time
   */
  deleteGroup(name: ConsumerGroup): Promise<boolean>;

  /**
   * Returns waiting messages in order, without delivering them. Delayed messages follow, with the
   * time at which they become due.
   * @throws {UnsupportedOperationError} (a rejection, like all others) if the engine cannot show
   * messages
   * @throws {ConfigurationError} if the group is not declared
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond in time
   */
  peek(options?: PeekOptions): Promise<MessageView[]>;

  /**
   * Removes waiting and delayed messages, but none in flight. Resolves to the number of removed
   * messages.
   * @throws {ConfigurationError} (a rejection, like all others) if the group is not declared
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond in time
   */
  purge(options?: PurgeOptions): Promise<number>;

  /**
   * Looks for what is wrong with the queue and its server, such as settings that lose messages.
   * Changes nothing. All built-in backends have it.
   * @throws {UnsupportedOperationError} (a rejection, like all others) if the engine cannot do it
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond in time
   */
  diagnose?(): Promise<QueueDiagnosis>;

  /**
   * Deletes the queue with all groups and messages, also those in flight and in quarantine, and
   * closes this backend. Other processes that use the queue create it again. All built-in backends
   * have it.
   * @throws {UnsupportedOperationError} (a rejection, like all others) if the engine cannot do it
   * @throws {QueueClosedError} after `close()`
   * @throws {BackendUnavailableError} if the engine does not respond in time. Some of the queue may
   * be left: the call may be repeated.
   */
  deleteQueue?(): Promise<void>;
}

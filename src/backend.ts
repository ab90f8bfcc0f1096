import type { Observable } from 'rxjs';

/** The same as in the lib `esnext.disposable`: a reference to that lib is an error in TypeScript before 5.2. */
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

/** Routing key or topic of a message: 1 to 255 bytes of well-formed UTF-8. */
export type QueueKey = string;

/** What a message carries: a JSON object. */
export type QueuePayload = object;

/** The name of a consumer group: 1 to 255 bytes of well-formed UTF-8. */
export type ConsumerGroup = string;

/** What a map of events has to look like: each key names the payload type of its messages. Interfaces will do. */
export type EventMap<Events> = { [Key in keyof Events]: QueuePayload };

/** The events of a queue that was given none: any key, any object. */
export interface AnyEvents {
  [key: QueueKey]: QueuePayload;
}

/** The keys of a map of events. */
export type KeyOf<Events> = Extract<keyof Events, QueueKey>;

/** The payloads of a map of events. */
export type PayloadOf<Events> = Events[KeyOf<Events>] & QueuePayload;

/** A published message: its key and its payload. A union over the keys, so that the key narrows the payload. */
export type QueueEntry<Events extends EventMap<Events> = AnyEvents> = {
  [Key in KeyOf<Events>]: readonly [key: Key, payload: Events[Key]];
}[KeyOf<Events>];

/** What `publish` takes. A union over the keys, so that a key of a union type is checked with its payload too. */
export type PublishArguments<Events extends EventMap<Events> = AnyEvents> = {
  [Key in KeyOf<Events>]: [key: Key, payload: Events[Key], options?: PublishOptions | undefined];
}[KeyOf<Events>];

/** Facts about a message that travel beside its payload, from the producer to every consumer. */
export type MessageHeaders = Readonly<Record<string, string>>;

export interface PublishOptions {
  /** Facts about the message that travel beside its payload. They are copied. Default: none. */
  readonly headers?: MessageHeaders | undefined;
  /** How long no consumer sees the message, in milliseconds from the call, from 0 up. Default: 0. */
  readonly delay?: number | undefined;
  /**
   * The only group that gets the message: one that the backend declared. Default: every declared group.
   * A publish for another group rejects with a `ConfigurationError`.
   */
  readonly group?: ConsumerGroup | undefined;
  /**
   * Identifies the message, 1 to 255 bytes of well-formed UTF-8: `delivery.id` is this id. A message whose id was published within
   * the backend's `dedupeWindow` is not stored again, and its `publish` resolves. Default: an id that no other message has.
   */
  readonly id?: string | undefined;
  /** Gives the publish up while it waits: it rejects with `signal.reason`, and the message was not enqueued. */
  readonly signal?: AbortSignal | undefined;
}

export interface ConsumeOptions {
  /** The group to consume for. Default: `default`. */
  readonly group?: ConsumerGroup | undefined;
  /**
   * How many unsettled deliveries the subscriber may hold, a whole number from 1 up.
   * Default: 32 when subscribed to, 1 when iterated and for `consume`.
   */
  readonly prefetch?: number | undefined;
  /** Stops the intake. The stream then ends without an error; what is out can still be settled. */
  readonly signal?: AbortSignal | undefined;
}

export interface StatsOptions {
  /** The group to count for. Default: every group, where a message counts once. */
  readonly group?: ConsumerGroup | undefined;
}

export interface QueueStats {
  /** Messages that a consumer could have now: delayed ones and those that are out do not count. */
  readonly ready: number;
  /** Messages that are not settled yet: waiting, delayed or out. */
  readonly unfinished: number;
}

export interface NackOptions {
  /** How long the message stays away before it is delivered again, in milliseconds, from 0 up. Default: 0. */
  readonly delay?: number | undefined;
}

/** How a delivery ended for its holder; `false` while it is out. */
export type Settlement = false | 'acked' | 'retried' | 'released' | 'rejected';

/** A message on loan, with the key and the payload of one event. */
export interface DeliveryOf<Key extends QueueKey, Payload extends QueuePayload> {
  /** The queue that it comes from. */
  readonly queue: string;
  /** The same for every delivery of one message, and of no other message. */
  readonly id: string;
  readonly key: Key;
  readonly payload: Payload;
  readonly headers: MessageHeaders;
  /** Which delivery of this message this is, from 1 up. On a broker an upper bound. */
  readonly attempt: number;
  /** When the message was published, in milliseconds since the epoch. */
  readonly publishedAt: number;
  /** How it was settled. `'retried'` or `'released'` also when it went back because its consumer left. */
  readonly settled: Settlement;
  /** Done: the message is gone for this group. Resolves to whether this call counted. */
  ack(): Promise<boolean>;
  /**
   * Failed: back to its place in the queue, to be delivered again with `attempt + 1`. Resolves to whether this call counted.
   * @throws {TypeError | RangeError} (a rejection) for a `delay` without sense; the delivery stays out.
   */
  nack(options?: NackOptions): Promise<boolean>;
  /** Not touched: back to its place in the queue, with `attempt` unchanged where the broker allows. Resolves to whether this call counted. */
  release(): Promise<boolean>;
  /** Failed for good: never delivered again to this group. Resolves to whether this call counted. */
  reject(reason?: unknown): Promise<boolean>;
}

/**
 * A message on loan: it counts as unfinished until somebody settles it.
 *
 * The first settlement wins and resolves to `true`. A later one changes nothing, logs a warning and resolves to `false`.
 * With typed events this is a union over the keys: `delivery.key === 'orders.created'` narrows `delivery.payload`.
 */
export type Delivery<Events extends EventMap<Events> = AnyEvents> = {
  [Key in KeyOf<Events>]: DeliveryOf<Key, Events[Key]>;
}[KeyOf<Events>];

/**
 * Deliveries as an Observable, and as an AsyncIterable.
 *
 * Subscribed to: the subscriber settles; it holds at most `prefetch` unsettled deliveries. Unsubscribing gives back what it holds.
 * Iterated: what the loop's body did not settle is acknowledged when the loop comes back, and given back when the loop leaves.
 */
export type DeliveryStream<Events extends EventMap<Events> = AnyEvents> = StreamOf<Delivery<Events>>;

/** A stream of deliveries of one type. Its parameter is what it delivers: a stream of some events is one of any, which their maps are not. */
export interface StreamOf<Item> extends Observable<Item> {
  /** How many unsettled deliveries a subscriber may hold. */
  readonly prefetch: number;
  [Symbol.asyncIterator](): AsyncIterableIterator<Item> & AsyncDisposable;
}

/**
 * The contract between a service and whatever carries its messages.
 *
 * The stream methods may be called by many consumers at once. A payload belongs to the backend from `publish` on: do not change it.
 */
export interface QueueBackend<Events extends EventMap<Events> = AnyEvents> extends AsyncDisposable {
  /** The queue that this backend is bound to. */
  readonly name: string;

  /**
   * Sends a message. Resolves when the backend has taken it; a message whose `publish` rejected was not enqueued, or the error says that it may have been.
   * @throws {InvalidMessageError} (a rejection, as all of these) for a key, payload or header that cannot be sent.
   * @throws {QueueClosedError} after `close()`.
   * @throws {QueueOverflowError} when the queue is full and refuses.
   * @throws `signal.reason` when the signal aborted first.
   */
  publish(...message: PublishArguments<Events>): Promise<void>;

  /**
   * Payloads, one after the other. A payload is acknowledged when the loop comes back for the next one, or leaves, even by a throw: at most once.
   * For work that must not be lost use `deliveries()`.
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>>;

  /** Messages on loan, to be settled by whoever holds them: at least once. */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events>;

  /** Counts, at this moment. */
  stats(options?: StatsOptions): Promise<QueueStats>;

  /** Ends the backend. Idempotent; waits for nobody's handler. */
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
  /** How many consumers the group has, in all processes. Undefined if the engine does not tell. */
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
  /** Which delivery of this message the next one will be, from 1 up. */
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

/**
 * The state of a backend's connection. `'idle'`: nothing has used the queue yet. `'disconnected'`: the connection was lost, and the
 * backend reconnects. A `MemoryBackend` goes from `'idle'` to `'connected'` with its first use.
 */
export type QueueStatus = 'idle' | 'connecting' | 'connected' | 'disconnected' | 'closed';

/** A queue with its administration: what every built-in backend implements. */
export interface ManagedQueue<Events extends EventMap<Events> = AnyEvents> extends QueueBackend<Events> {
  /** Emits the current status first, then every change. Completes after `'closed'`. */
  readonly status$: Observable<QueueStatus>;

  /** Lists the groups of the queue: the declared ones, and those that other processes have created. */
  groups(): Promise<GroupInfo[]>;

  /**
   * Deletes a group, with its messages. Resolves to whether there was one.
   * @throws {ConfigurationError} (a rejection) if this backend declares the group.
   */
  deleteGroup(name: ConsumerGroup): Promise<boolean>;

  /**
   * Shows waiting messages, in order, without taking them. Delayed messages follow, with the time at which they become due.
   * @throws {UnsupportedOperationError} (a rejection) if the engine cannot do it.
   */
  peek(options?: PeekOptions): Promise<MessageView[]>;

  /** Removes waiting and delayed messages, but none in flight. Resolves to how many messages it removed. */
  purge(options?: PurgeOptions): Promise<number>;
}

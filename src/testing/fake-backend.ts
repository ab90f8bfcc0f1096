import { Observable } from 'rxjs';
import type {
  AnyEvents,
  ConsumeOptions,
  Delivery,
  DeliveryStream,
  EventMap,
  KeyOf,
  MessageHeaders,
  PayloadOf,
  PublishArguments,
  PublishOptions,
  QueueBackend,
  QueueEntry,
  QueueKey,
  QueuePayload,
  QueueStats,
  Settlement,
} from '../backend.js';
import { QueueClosedError } from '../errors.js';
import { FakeIterator } from './fake-iterator.js';
import {
  checkFakeDelay,
  checkFakeGroup,
  checkFakeIntake,
  checkFakeOptions,
  type FakeBackendOptions,
  type FakeIntake,
  type FakePublish,
} from './fake-options.js';
import { FakeConsumer, FakeQueue, type ServedMessage } from './fake-queue.js';
import { snapshot } from './snapshot.js';

const DEFAULT_PREFETCH = 32;

/** A message to serve: a key and a payload, or with what else a delivery says. */
export type FakeMessage<Events extends EventMap<Events> = AnyEvents> =
  | QueueEntry<Events>
  | {
      [Key in KeyOf<Events>]: {
        readonly key: Key;
        readonly payload: Events[Key];
        /** Default: none. */
        readonly headers?: MessageHeaders | undefined;
        /** Default: 1. */
        readonly attempt?: number | undefined;
        /** Default: `fake-1`, `fake-2` and so on. */
        readonly id?: string | undefined;
        /** In milliseconds since the epoch. Default: when the fake was made. */
        readonly publishedAt?: number | undefined;
      };
    }[KeyOf<Events>];

/** How a delivery was settled. */
export interface FakeSettlement {
  readonly id: string;
  readonly key: QueueKey;
  readonly payload: QueuePayload;
  readonly attempt: number;
  /** The group of the consumer that settled it. */
  readonly group: string;
  /** `'retried'` too if its consumer left with it. */
  readonly how: Exclude<Settlement, false>;
  /** For `'retried'`: how long the message was to stay away, in milliseconds. */
  readonly delay?: number;
  /** For `'rejected'`: the reason, if there was one. */
  readonly reason?: unknown;
}

/** A backend that serves fixed messages, and remembers what became of them. */
export interface FakeBackend<Events extends EventMap<Events> = AnyEvents> extends QueueBackend<Events> {
  /** What was settled and how, in order. */
  readonly settlements: readonly FakeSettlement[];
  /** What was published, in order. It is not served. */
  readonly published: readonly FakePublish[];
  /** Whether `close()` was called. */
  readonly closed: boolean;
}

/**
 * A backend that serves fixed messages and records what was settled and how, and what was published.
 *
 * *When to use*: in a test of one handler, loop or pipeline, where it matters how each message was settled: with which delay it was nacked, for which reason
 * it was rejected. For a test of a service, where retries have to come again, use `MemoryBackend`.
 *
 * *Gotchas*: each message is served once, whatever group asks for it. What is nacked, released or left behind is recorded and does not come again: serve a
 * message with `attempt: 2` to test a second attempt. Streams end when everything was served and settled. What is published is recorded, not served, and not
 * validated. Everything takes effect within the call.
 *
 * @example
 * ```ts
 * const queue = fakeBackend([['order', { id: 1 }], { key: 'order', payload: { id: 2 }, attempt: 4 }]);
 * await lastValueFrom(queue.deliveries().pipe(handle(bill)), { defaultValue: undefined });
 * assert.deepEqual(queue.settlements.map(({ how }) => how), ['acked', 'rejected']);
 * ```
 * @throws {TypeError} for a message without a key or a payload
 * @throws {TypeError | RangeError} for an option without sense, as its methods do
 */
export function fakeBackend<Events extends EventMap<Events> = AnyEvents>(
  messages: Iterable<FakeMessage<Events>> = [],
  options?: FakeBackendOptions,
): FakeBackend<Events> {
  // The types are those of any events from here on.
  return new Fake(messages as Iterable<FakeMessage>, options) as unknown as FakeBackend<Events>;
}

class Fake implements FakeBackend {
  readonly settlements: FakeSettlement[] = [];
  readonly published: FakePublish[] = [];
  readonly #queue: FakeQueue;
  readonly #onPublish: FakeBackendOptions['onPublish'];

  constructor(messages: Iterable<FakeMessage>, options: FakeBackendOptions | undefined) {
    const { name, onPublish } = checkFakeOptions(options);
    this.#onPublish = onPublish;
    const now = Date.now();
    const served = [...messages].map((message, index) => complete(message, index, now));
    this.#queue = new FakeQueue(name, served, ({ message: { id, key, payload, attempt }, ...record }) =>
      this.settlements.push({ id, key, payload, attempt, ...record }),
    );
  }

  get name(): string {
    return this.#queue.name;
  }

  get closed(): boolean {
    return this.#queue.closed;
  }

  publish(...message: PublishArguments): Promise<void>;
  async publish(key: QueueKey, payload: QueuePayload, options: PublishOptions = {}): Promise<void> {
    const delay = checkFakeDelay(options);
    const { headers, signal } = options;
    const group = checkFakeGroup(options.group);
    if (this.#queue.closed) throw new QueueClosedError(`Queue ${JSON.stringify(this.name)} is closed`);
    signal?.throwIfAborted();
    const message = {
      key,
      payload: snapshot(payload),
      headers: { ...headers },
      delay,
      ...(group !== undefined && { group }),
    };
    await this.#onPublish?.(message);
    this.published.push(message);
  }

  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<AnyEvents>> {
    return this.#iterate(checkFakeIntake(options), ({ payload }) => payload, true);
  }

  deliveries(options?: ConsumeOptions): DeliveryStream {
    const checked = checkFakeIntake(options);
    const { prefetch = DEFAULT_PREFETCH } = checked;
    return Object.assign(this.#connect({ ...checked, prefetch }), {
      prefetch,
      [Symbol.asyncIterator]: () => this.#iterate(checked, (delivery) => delivery, false),
    });
  }

  async stats(): Promise<QueueStats> {
    return { ready: this.#queue.ready, unfinished: this.#queue.unfinished };
  }

  async close(): Promise<void> {
    this.#queue.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#queue.close();
  }

  #iterate<Item>(
    { signal, prefetch = 1, group }: FakeIntake,
    unwrap: (delivery: Delivery) => Item,
    doneOnLeave: boolean,
  ): FakeIterator<Item> {
    const connect = (intake: AbortSignal) => this.#connect({ group, prefetch, signal: intake });
    return new FakeIterator({ connect, unwrap, doneOnLeave, signal });
  }

  #connect({ group, prefetch, signal }: FakeIntake & { readonly prefetch: number }): Observable<Delivery> {
    return new Observable((subscriber) => {
      if (signal?.aborted || this.#queue.closed) {
        subscriber.complete();
        return;
      }
      const consumer = new FakeConsumer(this.#queue, subscriber, { group, prefetch });
      const stop = () => consumer.stop();
      signal?.addEventListener('abort', stop, { once: true });
      // Before the first message: a subscriber may leave in the middle of it.
      subscriber.add(() => {
        signal?.removeEventListener('abort', stop);
        consumer.leave();
      });
      this.#queue.join(consumer);
    });
  }
}

function complete(message: FakeMessage, index: number, now: number): ServedMessage {
  const isEntry = Array.isArray(message);
  const { key, payload, headers, attempt, id, publishedAt } = (
    isEntry ? { key: message[0], payload: message[1] } : (message ?? {})
  ) as Partial<ServedMessage>;
  if (typeof key !== 'string' || typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw new TypeError(`Expected \`messages[${index}]\` to be [key, payload] or an object with a key and a payload`);
  }
  return {
    key,
    payload,
    headers: { ...headers },
    attempt: attempt ?? 1,
    id: id ?? `fake-${index + 1}`,
    publishedAt: publishedAt ?? now,
  };
}

import type {
  AnyEvents,
  ConsumerGroup,
  EventMap,
  KeyOf,
  PublishArguments,
  PublishOptions,
  QueueBackend,
  QueueEntry,
  QueueKey,
  QueuePayload,
  QueueStats,
} from '../backend.js';
import { type BackendStreams, createStreams } from '../bridge/create-streams.js';
import { QueueClosedError } from '../errors.js';
import { checkPublishOptions } from '../internal/check-message.js';
import { copyMetadata, type GivenMetadata, type Metadata, metadataOf } from '../internal/metadata.js';
import { checkFunction, checkName, checkOptions } from '../internal/options.js';
import { FakeQueue, type FakeSettlement, type ServedMessage } from './fake-queue.js';
import { snapshot } from './snapshot.js';

/** A message to serve: a key and a payload, or an object with more fields of the delivery. */
export type FakeMessage<Events extends EventMap<Events> = AnyEvents> =
  | QueueEntry<Events>
  | {
      [Key in KeyOf<Events>]: GivenMetadata & {
        readonly key: Key;
        readonly payload: Events[Key];
        /** Default: 1. */
        readonly attempt?: number | undefined;
        /** Default: `fake-1`, `fake-2` and so on. */
        readonly id?: string | undefined;
        /** In milliseconds since the epoch. Default: the time of the call of `fakeBackend`. */
        readonly publishedAt?: number | undefined;
      };
    }[KeyOf<Events>];

/** A message that was published to a fake. */
export interface FakePublish extends Metadata {
  readonly key: QueueKey;
  /** A copy: later changes of the original do not show. */
  readonly payload: QueuePayload;
  /** In milliseconds. */
  readonly delay: number;
  /** The only group that was to get the message. Absent for all groups. */
  readonly group?: ConsumerGroup;
  /** Absent if the publisher named none. */
  readonly id?: string;
}

export interface FakeBackendOptions {
  /** The name of the queue. Default: `fake`. */
  readonly name?: string | undefined;
  /**
   * Runs for each `publish`, before it is recorded. If it throws or rejects, so does the publish,
   * and nothing is recorded.
   */
  readonly onPublish?: ((message: FakePublish) => unknown) | undefined;
}

/** A backend that serves fixed messages and records their settlements. */
export interface FakeBackend<Events extends EventMap<Events> = AnyEvents> extends QueueBackend<Events> {
  /** The settlements, in order. */
  readonly settlements: readonly FakeSettlement[];
  /** The published messages, in order. They are not served. */
  readonly published: readonly FakePublish[];
  /** Whether `close()` was called. */
  readonly closed: boolean;
}

/**
 * Creates a backend that serves fixed messages and records every settlement and every publish.
 *
 * *When to use*: in a test of one handler, loop or pipeline that checks how each message is
 * settled: the delay of a nack, the reason of a reject. For a test of a service with redeliveries,
 * use `MemoryBackend`.
 *
 * *Gotchas*: the fake serves each message once, whichever group consumes. It records a nack, a
 * release or an unsubscribe and does not redeliver: serve a message with `attempt: 2` to test a
 * second attempt. Streams complete when all messages are settled. The fake records published
 * messages; it does not serve, validate or deduplicate them. All effects are synchronous.
 *
 * @example
 * ```ts
 * const queue = fakeBackend([['order', { id: 1 }], { key: 'order', payload: { id: 2 }, attempt: 4 }]);
 * await lastValueFrom(queue.deliveries().pipe(handle(bill)), { defaultValue: undefined });
 * assert.deepEqual(queue.settlements.map(({ how }) => how), ['acked', 'rejected']);
 * ```
 * @throws {TypeError} if a message has no key or no payload
 * @throws {TypeError | RangeError} if an option is invalid. The methods of the fake throw the same
 * errors as any backend.
 */
export function fakeBackend<Events extends EventMap<Events> = AnyEvents>(
  messages: Iterable<FakeMessage<Events>> = [],
  options?: FakeBackendOptions,
): FakeBackend<Events> {
  // The class has the types of any events.
  return new Fake(messages as Iterable<FakeMessage>, options) as unknown as FakeBackend<Events>;
}

class Fake implements FakeBackend {
  readonly published: FakePublish[] = [];
  readonly deliveries: BackendStreams['deliveries'];
  readonly consume: BackendStreams['consume'];
  readonly #queue: FakeQueue;
  readonly #onPublish: FakeBackendOptions['onPublish'];

  constructor(messages: Iterable<FakeMessage>, options: FakeBackendOptions | undefined) {
    const { name = 'fake', onPublish } = checkOptions(options);
    this.#onPublish = onPublish === undefined ? onPublish : checkFunction('onPublish', onPublish);
    const now = Date.now();
    const served = [...messages].map((message, index) => complete(message, index, now));
    this.#queue = new FakeQueue(checkName('name', name), served);
    const { deliveries, consume } = createStreams((subscriber, intake) => this.#queue.connect(subscriber, intake));
    this.deliveries = deliveries;
    this.consume = consume;
  }

  get name(): string {
    return this.#queue.name;
  }

  get closed(): boolean {
    return this.#queue.closed;
  }

  get settlements(): readonly FakeSettlement[] {
    return this.#queue.settlements;
  }

  publish(...message: PublishArguments): Promise<void>;
  async publish(key: QueueKey, payload: QueuePayload, options: PublishOptions = {}): Promise<void> {
    const details = checkPublishOptions(options);
    const { delay, group, id, signal } = details;
    if (this.#queue.closed) throw new QueueClosedError(`Queue ${JSON.stringify(this.name)} is closed`);
    signal?.throwIfAborted();
    const message = {
      key,
      payload: snapshot(payload),
      ...metadataOf(details),
      delay,
      ...(group !== undefined && { group }),
      ...(id !== undefined && { id }),
    };
    await this.#onPublish?.(message);
    this.published.push(message);
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
}

function complete(message: FakeMessage, index: number, now: number): ServedMessage {
  const isEntry = Array.isArray(message);
  const { key, payload, attempt, id, publishedAt } = (
    isEntry ? { key: message[0], payload: message[1] } : (message ?? {})
  ) as Partial<ServedMessage>;
  if (typeof key !== 'string' || typeof payload !== 'object' || payload === null || Array.isArray(payload)) {
    throw new TypeError(`Expected \`messages[${index}]\` to be [key, payload] or an object with a key and a payload`);
  }
  return {
    key,
    payload,
    ...copyMetadata(isEntry ? {} : (message as GivenMetadata)),
    attempt: attempt ?? 1,
    id: id ?? `fake-${index + 1}`,
    publishedAt: publishedAt ?? now,
  };
}

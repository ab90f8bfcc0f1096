import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import type { Observable } from 'rxjs';
import type {
  ConsumeOptions,
  Delivery,
  ManagedQueue,
  MessageView,
  PublishOptions,
  QueueBackend,
  QueueStats,
} from '../backend.js';
import { type BackendCapabilities, type BackendNeeds, type CreateBackend, failure } from './capabilities.js';
import { type OnDelivery, TestConsumer } from './test-consumer.js';

const DEFAULT_DEADLINE = 10_000;

/** The longest duration of a case, in deadlines. */
const DEADLINES_PER_CASE = 6;

/**
 * The first checks of a condition follow each other in successive macrotasks. Later checks pause.
 */
const EAGER_CHECKS = 30;
/** The longest pause between two checks, in milliseconds. */
const LONGEST_PAUSE = 20;

/** The first delay that a case tries, in milliseconds. */
const DELAY = 300;

/** A delay longer than any case, in milliseconds. */
export const HOUR = 3_600_000;

/** How early a timer or a broker may end a delay, in milliseconds. */
export const TOLERANCE = 25;

// The real timers, so that a test with fake timers does not stop the suite.
const { clearTimeout, performance, setImmediate, setTimeout } = globalThis;

/** Returns the numbers from 1 to `count`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Waits for some macrotasks. No result may depend on their number. */
export async function turns(count = 1): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/**
 * Waits for a duration. Only for checks that need one: a lease that is renewed, a window that ends.
 */
export function pass(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Runs one case: creates its backends and consumers, waits for its expectations and cleans up. */
export class CaseContext {
  readonly capabilities: BackendCapabilities;
  readonly deadline: number;
  readonly #create: CreateBackend;
  readonly #backends: QueueBackend[] = [];
  readonly #consumers: TestConsumer[] = [];
  readonly #cleanups: (() => unknown)[] = [];
  /** A case that timed out still runs. Whatever it creates from now on is closed at once. */
  #over = false;

  constructor(create: CreateBackend, capabilities: BackendCapabilities) {
    this.#create = create;
    this.capabilities = capabilities;
    this.deadline = capabilities.deadline ?? DEFAULT_DEADLINE;
  }

  /** Runs a case and cleans up after it. */
  async run(run: (t: CaseContext) => Promise<void>): Promise<void> {
    let failed = true;
    try {
      await this.within('the case to end', run(this), this.deadline * DEADLINES_PER_CASE);
      failed = false;
    } finally {
      // The failure of a case says more than a failure of its cleanup.
      await this.#end().catch((error: unknown) => {
        if (!failed) throw error;
      });
    }
  }

  /** Creates a backend on its own queue, or on the queue that the needs name. */
  async open(needs?: BackendNeeds): Promise<QueueBackend> {
    return this.within('create() to resolve', this.#make(needs));
  }

  /** Creates a backend and checks that it is a `ManagedQueue`. */
  async openManaged(needs?: BackendNeeds): Promise<ManagedQueue> {
    const queue = (await this.open(needs)) as ManagedQueue;
    for (const method of ['groups', 'deleteGroup', 'peek', 'purge'] as const)
      assert.equal(typeof queue[method], 'function', `Expected a managed queue to have a method \`${method}\``);
    assert.equal(
      typeof queue.status$?.subscribe,
      'function',
      'Expected `status$` of a managed queue to be an Observable',
    );
    return queue;
  }

  /** Returns an unused name for a queue. */
  newName(): string {
    return `contract-${randomUUID()}`;
  }

  /** Subscribes a consumer to the queue. */
  addConsumer(queue: QueueBackend, options?: ConsumeOptions, onDelivery?: OnDelivery): TestConsumer {
    return this.subscribe(queue.deliveries(options), onDelivery);
  }

  /** Subscribes a consumer to a stream. */
  subscribe(deliveries: Observable<Delivery>, onDelivery?: OnDelivery): TestConsumer {
    const consumer = new TestConsumer(onDelivery);
    // Before it subscribes: the backend may emit synchronously.
    this.#consumers.push(consumer);
    if (!this.#over) consumer.subscribe(deliveries);
    return consumer;
  }

  /** Creates an iterator over payloads. The cleanup calls its `return()`. */
  consume(queue: QueueBackend, options?: ConsumeOptions): FullIterator<object> {
    return this.#iterate(queue.consume(options));
  }

  /** Creates an iterator over deliveries. The cleanup calls its `return()`. */
  iterate(queue: QueueBackend, options?: ConsumeOptions): FullIterator<Delivery> {
    return this.#iterate(queue.deliveries(options)[Symbol.asyncIterator]());
  }

  /** Calls back when the case has ended, also if it failed. */
  atEnd(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  /** Publishes `{ n }` for each number, in order and concurrently. Waits for all of them. */
  async publish(queue: QueueBackend, numbers: readonly number[], options?: PublishOptions): Promise<void> {
    const published = Promise.all(numbers.map((n) => queue.publish('number', { n }, options)));
    await this.within('publish() to resolve', published, this.deadline * 3);
  }

  /** Scales the number of messages of a large case, down to `least`. */
  scaled(count: number, least = 100): number {
    return Math.max(Math.min(count, least), Math.round(count * (this.capabilities.scale ?? 1)));
  }

  /** Waits until a condition holds. The deadline restarts whenever `progress` changes. */
  async until(
    what: string | (() => string),
    holds: () => boolean | Promise<boolean>,
    progress?: () => unknown,
  ): Promise<void> {
    let [since, seen] = [performance.now(), progress?.()];
    for (let check = 0; ; check++) {
      for (const { failure } of this.#consumers) if (failure !== undefined) throw failure.error;
      if (await holds()) return;
      const now = progress?.();
      if (now !== seen) [since, seen] = [performance.now(), now];
      else if (performance.now() - since > this.deadline)
        throw failure(waited(this.deadline, typeof what === 'string' ? what : what()));
      if (check < EAGER_CHECKS) await turns();
      else await pass(Math.min(check - EAGER_CHECKS + 1, LONGEST_PAUSE));
    }
  }

  /** Waits for a promise. Fails if it does not settle within the deadline. */
  async within<Value>(what: string, promise: Promise<Value>, deadline = this.deadline): Promise<Value> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(failure(waited(deadline, what))), deadline);
    });
    try {
      return await Promise.race([promise, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a function that must end before the delay that it starts. If the machine is too slow, the
   * function runs again with a longer delay.
   */
  async inTime<Value>(
    begin: (delay: number) => Promise<Value>,
    least = DELAY,
  ): Promise<{ readonly value: Value; readonly delay: number; readonly since: number }> {
    for (let delay = least; ; delay *= 3) {
      const since = performance.now();
      const value = await begin(delay);
      if (performance.now() - since < delay - TOLERANCE) return { value, delay, since };
      if (delay > this.deadline) throw failure(`The beginning of the case took longer than ${delay} ms`);
    }
  }

  /** Waits until consumers have received `count` deliveries in total. */
  async receives(consumers: TestConsumer | readonly TestConsumer[], count: number): Promise<void> {
    const all = [consumers].flat() as TestConsumer[];
    const total = () => all.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    await this.until(
      () => `${count} deliveries, got ${total()} (${preview(all)})`,
      () => total() >= count,
      total,
    );
  }

  /** Waits until a consumer has received exactly these numbers, in this order. */
  async receivesExactly(consumer: TestConsumer, numbers: readonly number[]): Promise<void> {
    await this.until(
      () => `deliveries of ${list(numbers)}, got ${list(consumer.numbers)}`,
      () => consumer.deliveries.length >= numbers.length || consumer.numbers.some((n, index) => n !== numbers[index]),
      () => consumer.deliveries.length,
    );
    assert.deepEqual(
      consumer.numbers,
      numbers,
      `Expected deliveries of ${list(numbers)}, got ${list(consumer.numbers)}`,
    );
  }

  /** Waits until `stats()` of the queue or of a group returns these counts. */
  async counts(queue: QueueBackend, expected: Partial<QueueStats>, group?: string): Promise<void> {
    let last: QueueStats | undefined;
    const holds = async () => {
      last = await this.within('stats() to resolve', queue.stats(group === undefined ? undefined : { group }));
      return Object.entries(expected).every(([name, count]) => last?.[name as keyof QueueStats] === count);
    };
    const of = group === undefined ? '' : ` of group "${group}"`;
    await this.until(() => `stats()${of} to say ${JSON.stringify(expected)}, got ${JSON.stringify(last)}`, holds);
  }

  /** Settles deliveries. Each settlement must count. */
  async settle(deliveries: readonly Delivery[], how: 'ack' | 'nack' | 'release' | 'reject' = 'ack'): Promise<void> {
    const counted = await this.within(
      `${how}() to resolve`,
      Promise.all(deliveries.map((delivery) => delivery[how]())),
    );
    const first = counted.findIndex((value) => value !== true);
    assert.ok(
      first === -1,
      `Expected ${how}() of a delivery in flight to resolve to true, got ${String(counted[first])}`,
    );
  }

  /**
   * Checks the attempt of a delivery or of a waiting message. If the backend gives an upper bound,
   * a higher number passes too.
   */
  isAttempt(message: Delivery | MessageView | undefined, expected: number): void {
    const { attempt, payload } = present(message);
    const what = `Expected \`attempt\` of ${JSON.stringify(payload)} to be ${expected}, got ${attempt}`;
    if (this.capabilities.attempt === 'exact') assert.equal(attempt, expected, what);
    else assert.ok(Number.isInteger(attempt) && attempt >= expected, what);
  }

  /** Has the cleanup return from an iterator. */
  #iterate<Value>(iterator: AsyncIterator<Value>): FullIterator<Value> {
    const full = iterator as FullIterator<Value>;
    this.atEnd(() => full.return());
    return full;
  }

  async #make(needs: BackendNeeds | undefined): Promise<QueueBackend> {
    const backend = checkBackend(await this.#create(needs));
    if (this.#over) await backend.close();
    else this.#backends.push(backend);
    return backend;
  }

  /**
   * Unsubscribes the consumers, then closes the backends: a draining backend would wait for its
   * consumers.
   */
  async #end(): Promise<void> {
    this.#over = true;
    for (const consumer of this.#consumers) consumer.unsubscribe();
    const cleaned = Promise.allSettled(this.#cleanups.map(async (cleanup) => cleanup()));
    try {
      await this.within('the cleanup of the case', cleaned);
    } finally {
      // Always: an open connection would keep the process alive.
      const closed = Promise.all(this.#backends.map((backend) => backend.close()));
      await this.within('close() to resolve', closed);
    }
  }
}

/** The methods that every backend must have. */
const METHODS = ['publish', 'consume', 'deliveries', 'stats', 'close'] as const;

function checkBackend(backend: QueueBackend): QueueBackend {
  const missing = METHODS.find(
    (method) => typeof (backend as Partial<QueueBackend> | undefined | null)?.[method] !== 'function',
  );
  if (missing === undefined) return backend;
  throw new TypeError(
    `Expected \`create\` to resolve to a backend, with a method \`${missing}\`, got ${backend === null ? 'null' : typeof backend}`,
  );
}

/** An iterator with all methods of the protocol. */
export type FullIterator<Value> = Required<AsyncIterableIterator<Value, unknown, unknown>> & AsyncDisposable;

/** Asserts that a value is present. */
export function present<Value>(value: Value | undefined): Value {
  assert.ok(value !== undefined, 'Expected a delivery, got none');
  return value;
}

/** Checks that a delay was not too short. Both are in milliseconds. */
export function notBefore(elapsed: number, delay: number): void {
  assert.ok(elapsed >= delay - TOLERANCE, `Expected a delay of ${delay} ms, got ${elapsed.toFixed(1)} ms`);
}

/** Copies a value through JSON, so that realms and prototypes do not matter. */
export function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** Returns the reason of a rejection. Fails if the promise resolves. */
export async function rejectionOf(what: string, promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw failure(`Expected ${what} to reject, but it resolved`);
}

function waited(deadline: number, what: string): string {
  return `Waited ${deadline} ms for ${what}`;
}

function preview(consumers: readonly TestConsumer[]): string {
  return consumers.length > 8
    ? `${consumers.length} consumers`
    : consumers.map(({ numbers }) => list(numbers)).join(', ');
}

function list(numbers: readonly number[]): string {
  const shown = numbers.slice(0, 40).join(' ');
  return `[${shown}${numbers.length > 40 ? ` … ${numbers.length} in all` : ''}]`;
}

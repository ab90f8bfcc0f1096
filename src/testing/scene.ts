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
import { type OnDelivery, Taker } from './taker.js';

const DEFAULT_DEADLINE = 10_000;

/** What a case may take as a whole, in deadlines. */
const DEADLINES_PER_CASE = 6;

/** How often a condition is looked at without a pause that costs time, before the looks become rare. */
const EAGER_LOOKS = 30;
const LONGEST_PAUSE = 20;

/** How long the delayed messages of a case stay away at first, in milliseconds. */
const DELAY = 300;

/** A delay that no case waits for, in milliseconds. */
export const HOUR = 3_600_000;

/** How much too early a timer may fire, or the clock of a broker be off while it counts a delay, in milliseconds. */
export const TOLERANCE = 25;

// Taken here, so that a test that fakes the timers does not stop the suite.
const { clearTimeout, performance, setImmediate, setTimeout } = globalThis;

/** 1 to `count`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Lets some macrotasks pass. Nothing may depend on their number. */
export async function turns(count = 1): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => setImmediate(resolve));
}

/** Lets time pass. Only for what cannot be had otherwise: a lease that is kept. */
export function pass(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** One run of one case: makes what the case needs, waits for what it expects, and takes everything down at the end. */
export class Scene {
  readonly capabilities: BackendCapabilities;
  readonly deadline: number;
  readonly #create: CreateBackend;
  readonly #backends: QueueBackend[] = [];
  readonly #takers: Taker[] = [];
  /** What is to be undone beyond that: iterators to return, above all. */
  readonly #undo: (() => unknown)[] = [];
  /** A case that failed for its time may still go on: what it makes from now on is not used. */
  #over = false;

  constructor(create: CreateBackend, capabilities: BackendCapabilities) {
    this.#create = create;
    this.capabilities = capabilities;
    this.deadline = capabilities.deadline ?? DEFAULT_DEADLINE;
  }

  /** Runs a case and cleans up after it. */
  async run(play: (scene: Scene) => Promise<void>): Promise<void> {
    let failed = true;
    try {
      await this.within('the case to end', play(this), this.deadline * DEADLINES_PER_CASE);
      failed = false;
    } finally {
      // A failure of the case says more than that of the cleaning up after it.
      await this.#end().catch((error: unknown) => {
        if (!failed) throw error;
      });
    }
  }

  /** A backend on a queue of its own, or on the one that the needs name. */
  async open(needs?: BackendNeeds): Promise<QueueBackend> {
    return this.within('create() to resolve', this.#make(needs));
  }

  /** A backend with its administration. */
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

  /** A name for a queue that nobody has used. */
  newName(): string {
    return `contract-${randomUUID()}`;
  }

  /** A consumer that is subscribed to the queue. */
  take(queue: QueueBackend, options?: ConsumeOptions, onDelivery?: OnDelivery): Taker {
    return this.subscribe(queue.deliveries(options), onDelivery);
  }

  /** A consumer that is subscribed to a stream. */
  subscribe(deliveries: Observable<Delivery>, onDelivery?: OnDelivery): Taker {
    const taker = new Taker(onDelivery);
    // Before it is subscribed: a backend may call it from within.
    this.#takers.push(taker);
    if (!this.#over) taker.join(deliveries);
    return taker;
  }

  /** An iterator over payloads, which is returned from at the end. */
  consume(queue: QueueBackend, options?: ConsumeOptions): FullIterator<object> {
    return this.#iterate(queue.consume(options));
  }

  /** An iterator over deliveries, which is returned from at the end. */
  iterate(queue: QueueBackend, options?: ConsumeOptions): FullIterator<Delivery> {
    return this.#iterate(queue.deliveries(options)[Symbol.asyncIterator]());
  }

  /** Does something when the case has ended, however it ended. */
  atEnd(undo: () => unknown): void {
    this.#undo.push(undo);
  }

  /** Publishes `{ n }` for each number, in order and all at once, until all were taken. */
  async publish(queue: QueueBackend, numbers: readonly number[], options?: PublishOptions): Promise<void> {
    const published = Promise.all(numbers.map((n) => queue.publish('number', { n }, options)));
    await this.within('publish() to resolve', published, this.deadline * 3);
  }

  /** The share of the messages that a large case sends, at least some. */
  scaled(count: number, least = 100): number {
    return Math.max(Math.min(count, least), Math.round(count * (this.capabilities.scale ?? 1)));
  }

  /** Waits until something holds. As long as `progress` changes, the wait begins anew. */
  async until(
    what: string | (() => string),
    holds: () => boolean | Promise<boolean>,
    progress?: () => unknown,
  ): Promise<void> {
    let [since, seen] = [performance.now(), progress?.()];
    for (let look = 0; ; look++) {
      for (const { failure } of this.#takers) if (failure !== undefined) throw failure.error;
      if (await holds()) return;
      const now = progress?.();
      if (now !== seen) [since, seen] = [performance.now(), now];
      else if (performance.now() - since > this.deadline)
        throw failure(waited(this.deadline, typeof what === 'string' ? what : what()));
      if (look < EAGER_LOOKS) await turns();
      else await pass(Math.min(look - EAGER_LOOKS + 1, LONGEST_PAUSE));
    }
  }

  /** Waits for a promise, and fails when it does not settle in time. */
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
   * Does something that has to be done before a delay is over, which begins in it. Where the machine was too slow, it is done again from the start, with a
   * longer delay.
   */
  async inTime<Value>(
    begin: (delay: number) => Promise<Value>,
    least = DELAY,
  ): Promise<{ readonly value: Value; readonly delay: number; readonly since: number }> {
    for (let delay = least; ; delay *= 3) {
      const since = performance.now();
      const value = await begin(delay);
      if (performance.now() - since < delay - TOLERANCE) return { value, delay, since };
      if (delay > this.deadline) throw failure(`What a case does at the beginning took longer than ${delay} ms`);
    }
  }

  /** Waits until takers have got so many deliveries together. */
  async got(takers: Taker | readonly Taker[], count: number): Promise<void> {
    const all = [takers].flat() as Taker[];
    const total = () => all.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    await this.until(
      () => `${count} deliveries, of which ${total()} came (${preview(all)})`,
      () => total() >= count,
      total,
    );
  }

  /** Waits until a taker has got deliveries of just these numbers, in this order; nothing came before, between or after them so far. */
  async gets(taker: Taker, numbers: readonly number[]): Promise<void> {
    await this.until(
      () => `deliveries of ${list(numbers)}, got ${list(taker.numbers)}`,
      () => taker.deliveries.length >= numbers.length || taker.numbers.some((n, index) => n !== numbers[index]),
      () => taker.deliveries.length,
    );
    assert.deepEqual(taker.numbers, numbers, `Expected deliveries of ${list(numbers)}, got ${list(taker.numbers)}`);
  }

  /** Waits until the counts of the queue, or of a group, are these. */
  async counts(queue: QueueBackend, expected: Partial<QueueStats>, group?: string): Promise<void> {
    let last: QueueStats | undefined;
    const holds = async () => {
      last = await this.within('stats() to resolve', queue.stats(group === undefined ? undefined : { group }));
      return Object.entries(expected).every(([name, count]) => last?.[name as keyof QueueStats] === count);
    };
    const of = group === undefined ? '' : ` of group "${group}"`;
    await this.until(() => `stats()${of} to say ${JSON.stringify(expected)}, got ${JSON.stringify(last)}`, holds);
  }

  /** Settles deliveries, each of which has to count. */
  async settle(deliveries: readonly Delivery[], how: 'ack' | 'nack' | 'release' | 'reject' = 'ack'): Promise<void> {
    const counted = await this.within(
      `${how}() to resolve`,
      Promise.all(deliveries.map((delivery) => delivery[how]())),
    );
    const first = counted.findIndex((value) => value !== true);
    assert.ok(
      first === -1,
      `Expected ${how}() of a delivery that is out to resolve to true, got ${String(counted[first])}`,
    );
  }

  /** Checks the attempt of a delivery or of a waiting message. If the backend gives an upper bound, a higher number passes too. */
  isAttempt(message: Delivery | MessageView | undefined, expected: number): void {
    const { attempt, payload } = present(message);
    const what = `Expected \`attempt\` of ${JSON.stringify(payload)} to be ${expected}, got ${attempt}`;
    if (this.capabilities.attempt === 'exact') assert.equal(attempt, expected, what);
    else assert.ok(Number.isInteger(attempt) && attempt >= expected, what);
  }

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

  /** Nobody consumes any more, then the backends are closed: a draining one would wait for its consumers. */
  async #end(): Promise<void> {
    this.#over = true;
    for (const taker of this.#takers) taker.leave();
    const undone = Promise.allSettled(this.#undo.map(async (undo) => undo()));
    try {
      await this.within('what the case has begun to end', undone);
    } finally {
      // In any case: a connection that stays open would keep the process alive.
      const closed = Promise.all(this.#backends.map((backend) => backend.close()));
      await this.within('close() to resolve', closed);
    }
  }
}

/** What a backend has to have; the rest of the contract the cases see. */
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

/** An iterator as every face of the queue hands it out: with all its methods. */
export type FullIterator<Value> = Required<AsyncIterableIterator<Value, unknown, unknown>> & AsyncDisposable;

/** What is there, since a case has waited for it. */
export function present<Value>(value: Value | undefined): Value {
  assert.ok(value !== undefined, 'Expected a delivery, got none');
  return value;
}

/** Checks that something did not happen before its time, both in milliseconds. */
export function notBefore(elapsed: number, delay: number): void {
  assert.ok(
    elapsed >= delay - TOLERANCE,
    `Expected a delay of ${delay} ms, and it was over after ${elapsed.toFixed(1)} ms`,
  );
}

/** What a value is on the wire: a plain copy, whatever realm or prototype it came from. */
export function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}

/** The reason that a promise was rejected with. */
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

function preview(takers: readonly Taker[]): string {
  return takers.length > 8 ? `${takers.length} consumers` : takers.map(({ numbers }) => list(numbers)).join(', ');
}

function list(numbers: readonly number[]): string {
  const shown = numbers.slice(0, 40).join(' ');
  return `[${shown}${numbers.length > 40 ? ` … ${numbers.length} in all` : ''}]`;
}

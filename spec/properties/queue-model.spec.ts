import fc from 'fast-check';
import { VirtualTimeScheduler } from 'rxjs';
import type { Delivery } from '../../src/index.js';
import { MemoryBackend } from '../../src/index.js';
import { type Habit, ModelPayloads, ModelSubscriber } from '../support/model-consumers.js';
import { type ModelMessage, type ModelOptions, ModelQueue } from '../support/model-queue.js';

const GROUPS = ['default', 'billing', 'audit'];
const quiet = { debug() {}, warn() {}, error() {} };

const index = fc.nat(20);
const group = fc.constantFrom(...GROUPS);
const to = fc.option(group, { nil: undefined });
const delay = fc.constantFrom(0, 0, 0, 10, 30);

const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('publish' as const), delay, to }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('tryPublish' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abortPublish' as const), index }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('subscribe' as const),
      group,
      prefetch: fc.integer({ min: 1, max: 4 }),
      habit: fc.constantFrom<Habit>('keep', 'keep', 'ack', 'nack twice'),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('settle' as const),
      index,
      held: index,
      how: fc.constantFrom('ack', 'nack', 'release', 'reject'),
      delay,
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('unsubscribe' as const), index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abort' as const), index }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('consume' as const), group }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('next' as const), index, times: fc.integer({ min: 1, max: 3 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('return' as const), index }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('abortConsume' as const), index }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('advance' as const), by: fc.constantFrom<number>(0, 10, 20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('clear' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('purge' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), drain: fc.boolean() }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;

const options: fc.Arbitrary<ModelOptions> = fc.record({
  capacity: fc.constantFrom(Number.POSITIVE_INFINITY, 1, 2, 5),
  overflow: fc.constantFrom('wait', 'wait', 'error', 'drop-oldest', 'drop-newest'),
  groups: fc.constantFrom<ModelOptions['groups']>('ignored', 'ignored', ['default', 'billing']),
});

/** Drives the queue and the model side by side. */
class Pair {
  readonly model: ModelQueue;
  readonly real: MemoryBackend;
  readonly scheduler = new VirtualTimeScheduler();
  readonly expected: string[] = [];
  readonly actual: string[] = [];
  readonly entered: number[] = [];
  readonly outcomes = new Map<number, string>();
  readonly #expectedOutcomes = new Map<number, string>();
  readonly #aborts = new Map<number, AbortController>();
  readonly #subscribers: { model: ModelSubscriber; held: Map<number, Delivery>; unsubscribe(): void; abort(): void }[] =
    [];
  readonly #payloads: {
    model: ModelPayloads;
    real: AsyncIterableIterator<object>;
    answers: (number | 'done')[];
    abort(): void;
  }[] = [];
  readonly #purges: { readonly expected: number; readonly removed: Promise<number> }[] = [];
  #published = 0;

  constructor(
    readonly options: ModelOptions,
    readonly watched: boolean,
  ) {
    this.model = new ModelQueue(options);
    this.real = new MemoryBackend({ ...options, scheduler: this.scheduler, logger: quiet });
    if (watched) this.real.published$.subscribe(([, payload]) => this.entered.push(numberOf(payload)));
  }

  run(operation: Operation): void {
    switch (operation.do) {
      case 'publish':
        this.#publish(
          this.options.overflow === 'wait' && this.options.capacity < Number.POSITIVE_INFINITY ? 0 : operation.delay,
          operation.to,
        );
        break;
      case 'tryPublish':
        this.#tryPublish();
        break;
      case 'abortPublish':
        this.#abortPublish(operation.index);
        break;
      case 'subscribe':
        this.#subscribe(operation.group, operation.prefetch, operation.habit);
        break;
      case 'settle':
        this.#settle(operation);
        break;
      case 'unsubscribe':
        pick(this.#subscribers, operation.index)?.model.unsubscribe();
        pick(this.#subscribers, operation.index)?.unsubscribe();
        break;
      case 'abort':
        pick(this.#subscribers, operation.index)?.model.abort();
        pick(this.#subscribers, operation.index)?.abort();
        break;
      case 'consume':
        this.#consume(operation.group);
        break;
      case 'next':
        for (let i = 0; i < operation.times; i++) this.#next(operation.index);
        break;
      case 'return':
        pick(this.#payloads, operation.index)?.model.return();
        void pick(this.#payloads, operation.index)?.real.return?.();
        break;
      case 'abortConsume':
        pick(this.#payloads, operation.index)?.model.leave();
        pick(this.#payloads, operation.index)?.abort();
        break;
      case 'advance':
        this.model.advance(operation.by);
        this.#advance(operation.by);
        break;
      case 'clear':
        expect(this.real.clear().map(([, payload]) => numberOf(payload))).toEqual(this.model.clear());
        break;
      case 'purge': {
        const expected = this.model.clear().length;
        this.#purges.push({ expected, removed: this.real.purge() });
        break;
      }
      case 'close':
        this.model.close(operation.drain);
        void this.real.close({ drain: operation.drain });
    }
  }

  compare(): void {
    expect(this.actual).toEqual(this.expected);
    expect({ size: this.real.size, unfinished: this.real.unfinished, dropped: this.real.dropped }).toEqual({
      size: this.model.size,
      unfinished: this.model.unfinished,
      dropped: this.model.dropped,
    });
    expect(this.real.inFlight).toBe(this.model.unfinished - this.model.size);
    if (this.watched) expect(this.entered).toEqual(this.model.entered);
  }

  /** Compares results after the promises have settled. */
  async compareAnswers(): Promise<void> {
    for (const group of [undefined, ...GROUPS.filter((name) => !this.model.refuses(name))]) {
      expect(await this.real.stats({ group })).toEqual(this.model.stats(group));
    }
    for (const group of GROUPS.filter((name) => !this.model.refuses(name))) {
      const views = await this.real.peek({ group, limit: 1000 });
      const ready = views.filter(({ due }) => due === undefined).map(({ payload }) => numberOf(payload));
      expect(ready).toEqual(this.model.ready(this.model.groupOf(group)).map(({ n }) => n));
    }
    for (const { expected, removed } of this.#purges) expect(await removed).toBe(expected);
    for (const { model, answers } of this.#payloads) expect(answers).toEqual(model.answers);
    for (const { n, outcome } of this.model.publishers) this.#expectedOutcomes.set(n, outcome);
    expect(Object.fromEntries(this.outcomes)).toEqual(Object.fromEntries(this.#expectedOutcomes));
  }

  /** Closes the queue and lets all consumers finish. Nothing may be left. */
  async drain(): Promise<void> {
    this.run({ do: 'close', drain: true });
    for (let i = 0; i < this.#payloads.length; i++) this.run({ do: 'return', index: i });
    for (let i = 0; i < this.#subscribers.length; i++) this.run({ do: 'unsubscribe', index: i });
    for (const group of GROUPS) this.run({ do: 'subscribe', group, prefetch: 1, habit: 'ack' });
    this.run({ do: 'advance', by: 1000 });
    this.run({ do: 'clear' });
    this.compare();
    expect(this.real.unfinished).toBe(0);
    await this.real.join();
  }

  #publish(delay: number, to: string | undefined): void {
    const n = this.#published++;
    const controller = new AbortController();
    this.#aborts.set(n, controller);
    this.#expectedOutcomes.set(n, this.model.publish(n, delay, to));
    this.outcomes.set(n, 'waiting');
    const dropped = this.real.dropped;
    // Half of the publishes have no options, because the queue has a separate path for them.
    const details =
      n % 2 === 0 || delay > 0 || to !== undefined ? { delay, group: to, signal: controller.signal } : undefined;
    const publishing = this.real.publish('key', { n }, details);
    const taken = this.real.dropped > dropped && this.options.overflow === 'drop-newest' ? 'not taken' : 'taken';
    publishing.then(
      () => this.outcomes.set(n, taken),
      (error: { code?: string }) =>
        this.outcomes.set(n, error.code === undefined ? 'aborted' : (OUTCOMES[error.code] ?? String(error))),
    );
    if (details === undefined) this.#aborts.delete(n);
  }

  #tryPublish(): void {
    if (this.model.closed) {
      expect(() => this.real.tryPublish('key', { n: -1 })).toThrow('closed');
      return;
    }
    const n = this.#published++;
    const expected = this.model.publish(n, 0, undefined);
    // tryPublish() never waits.
    if (expected === 'waiting') this.model.publishers.pop();
    expect(this.real.tryPublish('key', { n })).toBe(expected === 'taken');
  }

  #abortPublish(index: number): void {
    const n = pick([...this.#aborts.keys()], index);
    if (n === undefined) return;
    this.model.abortPublish(n);
    this.#aborts.get(n)?.abort('given up');
  }

  #subscribe(group: string, prefetch: number, habit: Habit): void {
    if (this.model.refuses(group)) {
      expect(() => this.real.deliveries({ group, prefetch })).toThrow('is not declared');
      return;
    }
    const id = this.#subscribers.length;
    const controller = new AbortController();
    const held = new Map<number, Delivery>();
    const model = new ModelSubscriber(this.model, id, group, prefetch, habit, this.expected);
    const subscription = this.real.deliveries({ group, prefetch, signal: controller.signal }).subscribe({
      next: (delivery) => {
        const n = numberOf(delivery.payload);
        this.actual.push(`${id} gets ${n} attempt ${delivery.attempt}`);
        if (habit === 'ack' || (habit === 'nack twice' && delivery.attempt > 2)) void delivery.ack();
        else if (habit === 'nack twice') void delivery.nack();
        else held.set(n, delivery);
      },
      complete: () => this.actual.push(`${id} completes`),
    });
    this.#subscribers.push({
      model,
      held,
      unsubscribe: () => subscription.unsubscribe(),
      abort: () => controller.abort(),
    });
  }

  #settle({ index, held, how, delay }: Extract<Operation, { do: 'settle' }>): void {
    const subscriber = pick(this.#subscribers, index);
    if (subscriber === undefined || subscriber.model.held.length === 0) return;
    const message = subscriber.model.held[held % subscriber.model.held.length] as ModelMessage;
    const delivery = subscriber.held.get(message.n) as Delivery;
    subscriber.model.settle(message, how as 'ack', how === 'nack' ? delay : 0);
    expect(delivery.settled).toBe(false);
    if (how === 'nack') void delivery.nack({ delay });
    else void delivery[how as 'ack']();
    expect(delivery.settled).not.toBe(false);
  }

  #consume(group: string): void {
    if (this.model.refuses(group)) {
      expect(() => this.real.consume({ group })).toThrow('is not declared');
      return;
    }
    const controller = new AbortController();
    const real = this.real.consume({ group, signal: controller.signal });
    this.#payloads.push({
      model: new ModelPayloads(this.model, group),
      real,
      answers: [],
      abort: () => controller.abort(),
    });
  }

  #next(index: number): void {
    const iterator = pick(this.#payloads, index);
    if (iterator === undefined) return;
    iterator.model.next();
    void iterator.real.next().then(({ done, value }) => iterator.answers.push(done ? 'done' : numberOf(value)));
  }

  #advance(by: number): void {
    this.scheduler.maxFrames = this.scheduler.frame + by;
    this.scheduler.flush();
    this.scheduler.frame = this.scheduler.maxFrames;
  }
}

const OUTCOMES: Record<string, string> = {
  SLUICE_QUEUE_CLOSED: 'closed',
  SLUICE_QUEUE_OVERFLOW: 'overflow',
  SLUICE_CONFIGURATION: 'refused',
};

function pick<Value>(list: readonly Value[], index: number): Value | undefined {
  return list[index % list.length];
}

function numberOf(payload: object): number {
  return (payload as { n: number }).n;
}

const macrotask = () => new Promise((resolve) => setImmediate(resolve));

describe('MemoryBackend and a simple model', () => {
  it('behave in the same way for any order of calls', async () => {
    await fc.assert(
      fc.asyncProperty(
        options,
        fc.boolean(),
        fc.array(operation, { maxLength: 60, size: 'max' }),
        async (options, watched, operations) => {
          const pair = new Pair(options, watched);
          for (const operation of operations) {
            pair.run(operation);
            pair.compare();
          }
          await macrotask();
          await macrotask();
          await pair.compareAnswers();
          await pair.drain();
        },
      ),
      { numRuns: 500 },
    );
  });
});

import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import type { Delivery, QueueBackend, QueueStats } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

const GROUPS = ['a', 'b', 'c'];
const HOWS = ['ack', 'reject', 'nack', 'nack later', 'release'] as const;
const LONG = 600_000;

const group = fc.constantFrom(...GROUPS);
const operation = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('publish' as const),
      group: fc.option(group),
      later: fc.constantFrom(false, false, false, true),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('take' as const), group, count: fc.integer({ min: 1, max: 4 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('settle' as const), group, at: fc.nat(9), how: fc.constantFrom(...HOWS) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('leave' as const), group }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer Value> ? Value : never;
type State = 'ready' | 'delayed' | 'out';

/** Makes one call after the other and tracks the state of each message in each group. */
class Model {
  /** The unsettled messages of each group. */
  readonly states = new Map<string, Map<number, State>>(GROUPS.map((name) => [name, new Map()]));
  readonly #queue: QueueBackend;
  readonly #out = new Map<string, Delivery[]>(GROUPS.map((name) => [name, []]));
  readonly #leave = new Map<string, () => void>();
  readonly #delayed = new Set<number>();
  #published = 0;

  constructor(queue: QueueBackend) {
    this.#queue = queue;
  }

  async do(step: Operation): Promise<void> {
    switch (step.do) {
      case 'publish':
        return this.#publish(step.group ?? undefined, step.later);
      case 'take':
        return this.#take(step.group, step.count);
      case 'settle':
        return this.#settle(step.group, step.at, step.how);
      case 'leave':
        return this.#stop(step.group);
    }
  }

  statsOf(wanted?: string): QueueStats {
    const groups = [...this.states]
      .filter(([name]) => wanted === undefined || name === wanted)
      .map(([, states]) => states);
    const all = new Set(groups.flatMap((states) => [...states.keys()]));
    const ready = [...all].filter((n) => groups.some((states) => states.get(n) === 'ready'));
    return { ready: ready.length, unfinished: all.size };
  }

  /** The number of messages that the stream has to contain. */
  get stored(): number {
    return new Set(
      [...this.states.values()].flatMap((states) => [...states.keys()].filter((n) => !this.#delayed.has(n))),
    ).size;
  }

  #statesOf(name: string): Map<number, State> {
    return this.states.get(name) as Map<number, State>;
  }

  async #publish(only: string | undefined, later: boolean): Promise<void> {
    const n = ++this.#published;
    if (later) this.#delayed.add(n);
    for (const name of only === undefined ? GROUPS : [only]) this.#statesOf(name).set(n, later ? 'delayed' : 'ready');
    await this.#queue.publish('key', { n }, { group: only, delay: later ? LONG : 0 });
  }

  /**
   * Replaces the subscriber by one with the given prefetch. An earlier subscriber would get a
   * share.
   */
  async #take(name: string, count: number): Promise<void> {
    await this.#stop(name);
    const out = this.#out.get(name) as Delivery[];
    const states = this.#statesOf(name);
    const expected = [...states].filter(([, state]) => state === 'ready').map(([n]) => n);
    const subscription = this.#queue
      .deliveries({ group: name, prefetch: count })
      .subscribe((delivery) => void this.#arrived(name, delivery));
    this.#leave.set(name, () => subscription.unsubscribe());
    const wanted = Math.min(count, expected.length);
    await eventually(() => out.length >= wanted);
    expect(out.map(({ payload }) => numberOf(payload)).slice(0, wanted)).toEqual(
      expected.toSorted((one, other) => one - other).slice(0, wanted),
    );
  }

  #arrived(name: string, delivery: Delivery): void {
    const n = numberOf(delivery.payload);
    const states = this.#statesOf(name);
    if (states.get(n) !== 'ready')
      throw new Error(`Message ${n} was delivered to group ${name}, where its state is ${states.get(n)}`);
    states.set(n, 'out');
    this.#out.get(name)?.push(delivery);
  }

  async #settle(name: string, at: number, how: (typeof HOWS)[number]): Promise<void> {
    const out = this.#out.get(name) as Delivery[];
    const [delivery] = out.splice(at % Math.max(1, out.length), 1);
    if (delivery === undefined) return;
    const n = numberOf(delivery.payload);
    const states = this.#statesOf(name);
    const later = how === 'nack later';
    if (how === 'ack' || how === 'reject') states.delete(n);
    else states.set(n, later ? 'delayed' : 'ready');
    expect(await (later ? delivery.nack({ delay: LONG }) : delivery[how as Exclude<typeof how, 'nack later'>]())).toBe(
      true,
    );
  }

  async #stop(name: string): Promise<void> {
    this.#leave.get(name)?.();
    this.#leave.delete(name);
    for (const { payload } of this.#out.get(name)?.splice(0) ?? [])
      this.#statesOf(name).set(numberOf(payload), 'ready');
  }
}

describeWithRedis('Counts of a queue with messages for single groups', () => {
  const suite = new RedisSuite();

  it('are correct after any sequence of calls', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 50, size: 'max' }), async (operations) => {
        suite.name = `run ${Math.random()}`;
        const queue = suite.open({ groups: GROUPS });
        const model = new Model(queue);
        for (const each of operations) {
          await model.do(each);
          // Released messages, and those that a group skips, take a moment to be counted.
          for (const name of [undefined, ...GROUPS]) {
            // A subscriber may still receive messages that were just published.
            const isRight = async () => isDeepStrictEqual(await queue.stats({ group: name }), model.statsOf(name));
            await eventually(isRight, () => ({ name, should: model.statsOf(name) }));
          }
          expect(await suite.length()).toBe(model.stored);
        }
        await queue.close();
        await suite.run('FLUSHALL');
      }),
      { numRuns: 60, endOnFailure: process.env.SHRINK === undefined },
    );
  }, 240_000);
});

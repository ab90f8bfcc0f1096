import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Delivery } from 'sluice';
import type { RabbitMqBackend } from 'sluice/rabbitmq';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';

const GROUPS = ['a', 'b'];
const HOWS = ['ack', 'nack', 'nack later', 'release', 'reject'] as const;
type How = (typeof HOWS)[number];

const index = fc.nat(20);
const operation = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('publish' as const), at: index, delay: fc.constantFrom(0, 0, 0, 3, 40) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('subscribe' as const),
      at: index,
      group: fc.constantFrom(...GROUPS),
      prefetch: fc.integer({ min: 1, max: 4 }),
    }),
  },
  {
    weight: 9,
    arbitrary: fc.record({ do: fc.constant('settle' as const), of: index, held: index, how: fc.constantFrom<How>(...HOWS, 'ack', 'ack') }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), of: index }) },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(0, 1, 5, 20) }) },
);
const cutting = fc.oneof({ weight: 25, arbitrary: operation }, { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const) }) });

type Operation = typeof cutting extends fc.Arbitrary<infer Value> ? Value : never;

interface Subscription {
  readonly group: string;
  readonly prefetch: number;
  readonly deliveries: Delivery[];
  leave(): void;
}

/** Drives two backends of one queue, and knows of each message what has to be true. */
class Run {
  readonly #proxy: TcpProxy;
  readonly #backends: readonly RabbitMqBackend[];
  readonly #subscriptions: Subscription[] = [];
  readonly #calls: Promise<void>[] = [];
  /** By whom each message was published. */
  readonly #published: number[] = [];
  /** By group and message: the deliveries that failed, and whether the message is done with. */
  readonly #failed = new Map<string, number>();
  readonly #done = new Set<string>();
  /** Groups of which the order cannot be told any more. */
  readonly #unordered = new Set<string>();
  readonly #latest = new Map<string, number>();
  /** A connection was cut: what was settled or published then may have been, or not. */
  #cut = false;
  #broken: Error | undefined;

  constructor(suite: RabbitMqSuite, url: string, proxy: TcpProxy) {
    this.#proxy = proxy;
    this.#backends = [suite.open({ url, groups: GROUPS }), suite.open({ url, groups: GROUPS })];
  }

  async do(operation: Operation): Promise<void> {
    switch (operation.do) {
      case 'publish':
        this.#publish(operation.at % 2, operation.delay);
        break;
      case 'subscribe':
        this.#subscribe(operation);
        break;
      case 'settle':
        this.#settle(operation);
        break;
      case 'leave':
        this.#leave(operation.of);
        break;
      case 'wait':
        await sleep(operation.ms);
        break;
      case 'cut':
        this.#cut = true;
        this.#proxy.cut();
        break;
    }
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** Has the rest acknowledged, and looks at what is left. */
  async end(): Promise<void> {
    for (const group of GROUPS) this.#subscribe({ at: 0, group, prefetch: 4 });
    await Promise.all(this.#calls);
    const [first, second] = this.#backends as [RabbitMqBackend, RabbitMqBackend];
    await eventually(async () => {
      if (this.#broken !== undefined) throw this.#broken;
      for (const subscription of this.#subscriptions) for (const delivery of heldBy(subscription)) this.#settleOne(subscription, delivery, 'ack');
      const all = await Promise.all([first.stats(), second.stats()]).catch(() => []);
      return all.length > 0 && all.every(({ unfinished }) => unfinished === 0);
    });
    await Promise.all(this.#calls);
    if (this.#broken !== undefined) throw this.#broken;
    expect(this.#done.size).toBe(this.#published.length * GROUPS.length);
    await Promise.all(this.#backends.map((backend) => backend.close()));
  }

  #publish(at: number, delay: number): void {
    const n = this.#published.push(at) - 1;
    if (delay > 0) for (const group of GROUPS) this.#unordered.add(group);
    const [backend] = this.#backends.slice(at) as [RabbitMqBackend];
    this.#calls.push(backend.publish('key', { n }, { delay }));
  }

  #subscribe({ at, group, prefetch }: { at: number; group: string; prefetch: number }): void {
    const [backend] = this.#backends.slice(at % 2) as [RabbitMqBackend];
    if (this.#subscriptions.some((each) => each.group === group)) this.#unordered.add(group);
    const deliveries: Delivery[] = [];
    const subscription = { group, prefetch, deliveries, leave: () => rx.unsubscribe() };
    this.#subscriptions.push(subscription);
    const rx = backend.deliveries({ group, prefetch }).subscribe({
      next: (delivery) => {
        deliveries.push(delivery);
        this.#check(subscription, delivery);
      },
      error: (error: Error) => {
        this.#broken ??= error;
      },
    });
  }

  #settle({ of, held, how }: { of: number; held: number; how: How }): void {
    const subscription = this.#subscriptions[of % Math.max(1, this.#subscriptions.length)];
    if (subscription === undefined) return;
    const out = heldBy(subscription);
    const delivery = out[held % Math.max(1, out.length)];
    if (delivery !== undefined) this.#settleOne(subscription, delivery, how);
  }

  #settleOne({ group }: Subscription, delivery: Delivery, how: How): void {
    const n = numberOf(delivery.payload);
    const id = `${group} ${n}`;
    const ends = how === 'ack' || how === 'reject';
    if (!ends) this.#unordered.add(group);
    else if (!this.#cut) this.#done.add(id);
    if (how === 'nack' || how === 'nack later') this.#failed.set(id, (this.#failed.get(id) ?? 0) + 1);
    const call = how === 'nack later' ? delivery.nack({ delay: 10 }) : delivery[how]();
    this.#calls.push(
      call.then((counted) => {
        if (counted && ends) this.#done.add(id);
        if (!counted && !this.#cut) this.#broken ??= new Error(`${how} of message ${n} in group ${group} did not count`);
      }),
    );
  }

  #leave(of: number): void {
    const [subscription] = this.#subscriptions.splice(of % Math.max(1, this.#subscriptions.length), 1);
    if (subscription === undefined) return;
    const { group } = subscription;
    this.#unordered.add(group);
    for (const { payload } of heldBy(subscription)) {
      const id = `${group} ${numberOf(payload)}`;
      this.#failed.set(id, (this.#failed.get(id) ?? 0) + 1);
    }
    subscription.leave();
  }

  /** What has to be true of each delivery when it comes. */
  #check(subscription: Subscription, delivery: Delivery): void {
    const { group, prefetch } = subscription;
    const n = numberOf(delivery.payload);
    const id = `${group} ${n}`;
    const fail = (what: string) => {
      this.#broken ??= new Error(`Message ${n} came to group ${group}, though ${what}`);
    };
    if (heldBy(subscription).length > prefetch) fail(`more than ${prefetch} were out`);
    if (this.#cut) return;
    if (this.#done.has(id)) fail('it was done with');
    const attempt = 1 + (this.#failed.get(id) ?? 0);
    if (delivery.attempt < attempt) fail(`it came as attempt ${delivery.attempt}, and this is attempt ${attempt} at least`);
    const held = this.#subscriptions.filter((each) => each.group === group).flatMap(heldBy);
    if (held.filter(({ payload }) => numberOf(payload) === n).length !== 1) fail('somebody holds it');
    const source = `${group} ${this.#published[n]}`;
    if (!this.#unordered.has(group) && n < (this.#latest.get(source) ?? -1)) fail(`message ${this.#latest.get(source)} had come before it`);
    this.#latest.set(source, n);
  }
}

function heldBy({ deliveries }: Pick<Subscription, 'deliveries'>): Delivery[] {
  return deliveries.filter(({ settled }) => settled === false);
}

describeWithRabbitMq('Any interleaving of calls, on two backends and in two groups', () => {
  const suite = new RabbitMqSuite();

  const holds = async (operations: fc.Arbitrary<Operation>, numRuns: number) => {
    const { proxy, url } = await suite.proxy();
    const name = suite.name;
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(operations, { maxLength: 60, size: 'max' }), async (all) => {
        suite.name = `${name} ${runs++}`;
        const run = new Run(suite, url, proxy);
        for (const each of all) await run.do(each);
        await run.end();
      }),
      { numRuns, endOnFailure: process.env.SHRINK === undefined, interruptAfterTimeLimit: 60_000 },
    );
  };

  it('loses, doubles and swaps nothing, and counts right', () => holds(operation, 25), 120_000);

  it('loses nothing, and hands out no more than asked for, though connections are cut', () => holds(cutting, 12), 120_000);

  it('has what goes back come before what is newer, in its order', async () => {
    const answer = fc.constantFrom('ack' as const, 'nack' as const, 'release' as const, undefined);
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.array(answer, { minLength: 5, maxLength: 5 }), { maxLength: 15 }),
        async (prefetch, rounds) => {
          const queue = suite.open({ name: `${suite.name} ${runs++}` });
          await Promise.all(upTo(40).map((n) => queue.publish('key', { n })));
          const holder = new Holder(queue, { prefetch });
          let rest = upTo(40);
          await eventually(() => holder.held.length === prefetch);
          for (const round of rounds) {
            const seen = holder.deliveries.length;
            const held = holder.held.toSorted((one, other) => numberOf(one.payload) - numberOf(other.payload));
            const kept = held.filter((_, at) => round[at] === undefined).map(({ payload }) => numberOf(payload));
            const done = held.filter((_, at) => round[at] === 'ack').map(({ payload }) => numberOf(payload));
            rest = rest.filter((n) => !done.includes(n));
            const count = Math.min(prefetch, rest.length);
            void Promise.all(held.map((delivery, at) => delivery[round[at] ?? 'valueOf']()));
            await eventually(
              () => holder.held.length === count,
              () => holder.attempts,
            );
            const expected = rest.filter((n) => !kept.includes(n)).slice(0, count - kept.length);
            expect(holder.numbers.slice(seen)).toEqual(expected);
          }
          await queue.close();
        },
      ),
      { numRuns: 15, endOnFailure: true },
    );
  }, 120_000);
});

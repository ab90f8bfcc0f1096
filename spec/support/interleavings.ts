import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { Delivery, QueueBackend } from 'sluice';
import { numberOf } from './consumers.js';

/** The groups of the queue. */
export const GROUPS = ['a', 'b'];
const HOWS = ['ack', 'nack', 'nack later', 'release', 'reject'] as const;
type How = (typeof HOWS)[number];

const index = fc.nat(20);

/** Generates calls. */
function operation({ delays, waits }: Stage) {
  return fc.oneof(
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constant('publish' as const),
        at: index,
        delay: fc.constantFrom(0, 0, 0, ...delays),
      }),
    },
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
      arbitrary: fc.record({
        do: fc.constant('settle' as const),
        of: index,
        held: index,
        how: fc.constantFrom<How>(...HOWS, 'ack', 'ack'),
      }),
    },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('leave' as const), of: index }) },
    { weight: 5, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(...waits) }) },
  );
}

/** Generates calls and lost connections. */
function cutting(stage: Stage) {
  return fc.oneof(
    { weight: 25, arbitrary: operation(stage) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant('cut' as const) }) },
  );
}

type Operation = ReturnType<typeof cutting> extends fc.Arbitrary<infer Value> ? Value : never;

/** Describes the backend that a run uses and what its broker guarantees. */
export interface Stage {
  /** The suite, whose name is the queue's name: another one in each run. */
  readonly suite: { name: string };
  /** Opens the run's queue, with its groups. */
  open(): QueueBackend;
  /** Cuts all connections. */
  cut(): void | Promise<void>;
  /** The delays of publishes and the waits between calls, in milliseconds. */
  readonly delays: readonly number[];
  readonly waits: readonly number[];
  /** Whether `attempt` counts only failed deliveries. Otherwise, it is an upper bound. */
  readonly exactAttempts: boolean;
  /**
   * Whether every call counts exactly once in spite of lost connections. Otherwise, a settlement or
   * publish may or may not have counted.
   */
  readonly exactOverCuts: boolean;
  /**
   * How long settling all messages may take, in milliseconds. Less than a lease if none may expire.
   */
  readonly patience: number;
  /** Checks that the broker stores nothing after all messages are settled. */
  emptied(): Promise<void>;
  /** Returns what the broker still stores, for the error message. */
  left(): Promise<unknown>;
  /** Checks what is stored after the queues are closed, and deletes it. */
  closed?(): Promise<void>;
}

/** Runs random programs of up to 60 calls. */
export async function holds(
  stage: Stage,
  { cuts, numRuns }: { readonly cuts: boolean; readonly numRuns: number },
): Promise<void> {
  const operations: fc.Arbitrary<Operation> = cuts ? cutting(stage) : operation(stage);
  await fc.assert(
    fc.asyncProperty(fc.array(operations, { maxLength: 60, size: 'max' }), async (all) => {
      stage.suite.name = `run ${Math.random()}`;
      const run = new Run(stage);
      for (const each of all) await run.do(each);
      await run.end();
    }),
    { numRuns, endOnFailure: process.env.SHRINK === undefined, interruptAfterTimeLimit: 60_000 },
  );
}

interface Subscription {
  readonly group: string;
  readonly prefetch: number;
  readonly deliveries: Delivery[];
  leave(): void;
}

/** Drives two backends of one queue and checks every delivery. */
class Run {
  readonly #stage: Stage;
  readonly #backends: readonly QueueBackend[];
  readonly #subscriptions: Subscription[] = [];
  readonly #calls: Promise<void>[] = [];
  /** The index of the backend that published each message. */
  readonly #published: number[] = [];
  /** The failed deliveries, and the settled messages, by group and message. */
  readonly #failed = new Map<string, number>();
  readonly #done = new Set<string>();
  /** The groups whose order can no longer be predicted. */
  readonly #unordered = new Set<string>();
  readonly #latest = new Map<string, number>();
  /** Whether a lost connection has made the result of some calls unknown. */
  #uncertain = false;
  #broken: Error | undefined;

  constructor(stage: Stage) {
    this.#stage = stage;
    this.#backends = [stage.open(), stage.open()];
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
        this.#uncertain = !this.#stage.exactOverCuts;
        await this.#stage.cut();
        break;
    }
    if (this.#broken !== undefined) throw this.#broken;
  }

  /** Acknowledges the remaining messages and checks that nothing is left. */
  async end(): Promise<void> {
    for (const group of GROUPS) this.#subscribe({ at: 0, group, prefetch: 4 });
    await Promise.all(this.#calls);
    await this.#until(async () => {
      for (const subscription of this.#subscriptions)
        for (const delivery of heldBy(subscription)) this.#settleOne(subscription, delivery, 'ack');
      for (const backend of this.#backends) {
        const stats = await backend.stats().catch(() => undefined);
        if (stats?.unfinished !== 0) return false;
      }
      return true;
    });
    await Promise.all(this.#calls);
    if (this.#broken !== undefined) throw this.#broken;
    expect(this.#done.size).toBe(this.#published.length * GROUPS.length);
    await this.#stage.emptied();
    await Promise.all(this.#backends.map((backend) => backend.close()));
    await this.#stage.closed?.();
  }

  #publish(at: number, delay: number): void {
    const n = this.#published.push(at) - 1;
    if (delay > 0) for (const group of GROUPS) this.#unordered.add(group);
    const [backend] = this.#backends.slice(at) as [QueueBackend];
    this.#calls.push(backend.publish('key', { n }, { delay }));
  }

  #subscribe({ at, group, prefetch }: { at: number; group: string; prefetch: number }): void {
    const [backend] = this.#backends.slice(at % 2) as [QueueBackend];
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
    const inFlight = heldBy(subscription);
    const delivery = inFlight[held % Math.max(1, inFlight.length)];
    if (delivery !== undefined) this.#settleOne(subscription, delivery, how);
  }

  #settleOne({ group }: Subscription, delivery: Delivery, how: How): void {
    const n = numberOf(delivery.payload);
    const id = `${group} ${n}`;
    const call = () => {
      switch (how) {
        case 'nack later':
          return delivery.nack({ delay: 10 });
        default:
          return delivery[how]();
      }
    };
    const ends = how === 'ack' || how === 'reject';
    if (!ends) this.#unordered.add(group);
    else if (!this.#uncertain) this.#done.add(id);
    if (how === 'nack' || how === 'nack later') this.#failed.set(id, (this.#failed.get(id) ?? 0) + 1);
    this.#calls.push(
      call().then((counted) => {
        if (counted && ends) this.#done.add(id);
        if (!counted && !this.#uncertain)
          this.#broken ??= new Error(`${how} of message ${n} in group ${group} did not count`);
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

  /** Checks a delivery. */
  #check(subscription: Subscription, delivery: Delivery): void {
    const { group, prefetch } = subscription;
    const n = numberOf(delivery.payload);
    const id = `${group} ${n}`;
    const fail = (what: string) => {
      this.#broken ??= new Error(`Group ${group} received message ${n}, but ${what}`);
    };
    if (heldBy(subscription).length > prefetch) fail(`more than ${prefetch} are in flight`);
    if (this.#uncertain) return;
    if (this.#done.has(id)) fail('it was already settled');
    const attempt = 1 + (this.#failed.get(id) ?? 0);
    if (this.#stage.exactAttempts ? delivery.attempt !== attempt : delivery.attempt < attempt)
      fail(`its attempt is ${delivery.attempt} instead of ${attempt}`);
    const holders = this.#subscriptions.filter(
      (each) => each.group === group && heldBy(each).some(({ payload }) => numberOf(payload) === n),
    );
    if (holders.length !== 1 || heldBy(subscription).filter(({ payload }) => numberOf(payload) === n).length !== 1)
      fail('it is already in flight');
    const source = `${group} ${this.#published[n]}`;
    if (!this.#unordered.has(group) && n < (this.#latest.get(source) ?? -1))
      fail(`message ${this.#latest.get(source)} was delivered before it`);
    this.#latest.set(source, n);
  }

  async #until(condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + this.#stage.patience;
    while (!(await condition())) {
      if (this.#broken !== undefined) throw this.#broken;
      if (performance.now() > deadline)
        throw new Error(`Not all messages were settled: ${JSON.stringify(await this.#stage.left())}`);
      await sleep(2);
    }
  }
}

function heldBy({ deliveries }: Subscription): Delivery[] {
  return deliveries.filter(({ settled }) => settled === false);
}

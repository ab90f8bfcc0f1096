import fc from 'fast-check';
import type { Delivery } from '../../src/backend.js';
import { Credit, withCredit } from '../../src/bridge/credit.js';
import { PullBackend } from '../../src/core/pull-backend.js';
import type {
  ExchangeReply,
  ExchangeRequest,
  IncomingMessage,
  OutgoingMessage,
  PullDriver,
} from '../../src/core/pull-driver.js';
import { turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { fakeTime, pass } from './fakes.js';

type Fate = 'well' | 'lost before' | 'lost after';

interface Row {
  readonly message: OutgoingMessage;
  attempt: number;
  due: number;
  receipt: string | undefined;
}

/**
 * A store whose calls fail before or after they take effect. It obeys all rules in the docblock of
 * `PullDriver`.
 */
class UnreliableStore implements PullDriver {
  readonly engine = 'the store';
  readonly rows: Row[] = [];
  readonly done: number[] = [];
  readonly problems: string[] = [];
  fates: Fate[] = [];
  #receipts = 0;
  #calls = 0;

  async open(): Promise<void> {
    await this.call(() => {});
  }

  publish(messages: readonly OutgoingMessage[]): Promise<void> {
    return this.call(() => {
      for (const message of messages) {
        if (this.rows.some(({ message: { id } }) => id === message.id) || this.done.includes(numberOf(message)))
          continue;
        this.rows.push({ message, attempt: 1, due: performance.now() + message.delay, receipt: undefined });
      }
    });
  }

  async exchange(_: string, { settlements, demand, inFlight }: ExchangeRequest): Promise<ExchangeReply> {
    if (++this.#calls > 1) this.problems.push('two exchanges at a time');
    try {
      return await this.call(() => {
        const settled = this.carryOut(settlements);
        this.renewed(inFlight);
        const now = performance.now();
        const ready = this.rows.filter(({ receipt, due }) => receipt === undefined && due <= now).slice(0, demand);
        const messages = ready.map((row): IncomingMessage => {
          row.receipt = String(++this.#receipts);
          return { ...row.message, attempt: row.attempt, receipt: row.receipt };
        });
        const next = Math.min(
          ...this.rows.flatMap(({ receipt, due }) => (receipt === undefined && due > now ? [due] : [])),
        );
        return { settled, messages, wait: Number.isFinite(next) ? next - now : undefined };
      });
    } finally {
      this.#calls -= 1;
    }
  }

  protected carryOut(settlements: ExchangeRequest['settlements']): boolean[] {
    return settlements.map(({ message, outcome, attempt, delay }) => {
      const row = this.rows.find(({ receipt }) => receipt === message.receipt);
      if (row === undefined) return false;
      if (outcome === 'requeue') Object.assign(row, { attempt, due: performance.now() + delay, receipt: undefined });
      else this.done.push(numberOf(this.rows.splice(this.rows.indexOf(row), 1)[0]?.message as OutgoingMessage));
      return true;
    });
  }

  protected renewed(_: ExchangeRequest['inFlight']): void {}

  async count(): Promise<{ ready: number; unfinished: number }> {
    return { ready: this.rows.filter(({ receipt }) => receipt === undefined).length, unfinished: this.rows.length };
  }

  /** Expires the leases of messages that were lost with a response. */
  expire(held: ReadonlySet<string>): void {
    for (const row of this.rows) {
      if (row.receipt === undefined || held.has(row.message.id)) continue;
      Object.assign(row, { receipt: undefined, attempt: row.attempt + 1 });
    }
  }

  protected async call<Value>(carryOut: () => Value): Promise<Value> {
    const fate = this.fates.shift() ?? 'well';
    await turns(1);
    if (fate === 'lost before') throw new Error('reset by peer');
    const value = carryOut();
    await turns(1);
    if (fate === 'lost after') throw new Error('reset by peer');
    return value;
  }
}

/**
 * Such a store that settles many messages beside exchanges. No lease expires: messages that were
 * lost with a reply come back because the consumer tells what it has in flight.
 */
class SettlingStore extends UnreliableStore {
  /** How many calls of `settle` there were. */
  settles = 0;
  #settling = false;

  async settle(_: string, settlements: ExchangeRequest['settlements']): Promise<readonly boolean[]> {
    this.settles += 1;
    if (this.#settling) this.problems.push('settled twice at a time');
    if (settlements.some(({ outcome }) => outcome !== 'done')) this.problems.push('requeued beside an exchange');
    this.#settling = true;
    try {
      return await this.call(() => this.carryOut(settlements));
    } finally {
      this.#settling = false;
    }
  }

  protected override renewed(inFlight: ExchangeRequest['inFlight']): void {
    if (inFlight === undefined) return;
    // By message, as PostgreSQL does: a message may have been delivered again by a lost reply.
    const held = new Set(inFlight.map(({ id }) => id));
    for (const row of this.rows)
      if (row.receipt !== undefined && !held.has(row.message.id)) Object.assign(row, { receipt: undefined });
  }

  override expire(): void {}
}

function numberOf({ payload }: { payload: string }): number {
  return (JSON.parse(payload) as { n: number }).n;
}

/** Awaits a promise while time passes. */
async function meanwhile<Value>(promise: Promise<Value>): Promise<Value> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  promise.then(over, over);
  for (let round = 0; round < 100 && !isOver; round++) await pass(100);
  if (!isOver) throw new Error('The promise did not settle within 10 s');
  return promise;
}

beforeEach(fakeTime);
afterEach(() => jest.useRealTimers());

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ what: fc.constant('publish' as const), n: fc.constantFrom(0, 0, 0, 30) }) },
  {
    weight: 5,
    arbitrary: fc.record({ what: fc.constantFrom('ack' as const, 'nack' as const, 'release' as const), n: fc.nat(5) }),
  },
  { weight: 3, arbitrary: fc.record({ what: fc.constant('pass' as const), n: fc.constantFrom(0, 1, 50, 1000) }) },
);

describe('PullBackend on a store whose calls get lost', () => {
  it('loses no message, redelivers none that is settled, and respects the prefetch', async () => {
    const run = async (
      prefetch: number,
      steps: readonly { what: 'publish' | 'ack' | 'nack' | 'release' | 'pass'; n: number }[],
      fates: readonly Fate[],
    ) => {
      jest.clearAllTimers();
      const store = new UnreliableStore();
      store.fates = [...fates];
      const queue = new PullBackend(store, { name: 'orders', logger: recordingLogger(), publishTimeout: 1_000_000 });
      const held: Delivery[] = [];
      const published: Promise<void>[] = [];
      const subscription = queue.deliveries({ prefetch }).subscribe((delivery) => {
        if (store.done.includes((delivery.payload as { n: number }).n))
          store.problems.push('a settled message was redelivered');
        held.push(delivery);
        if (held.length > prefetch) store.problems.push(`${held.length} in flight`);
      });
      const drop = () => held.splice(0, held.length, ...held.filter(({ settled }) => settled === false));
      for (const { what, n } of steps) {
        if (what === 'publish') published.push(queue.publish('n', { n: published.length }, { delay: n }));
        else if (what === 'pass') await pass(n);
        else {
          const [delivery] = held.splice(n % Math.max(1, held.length), 1);
          if (delivery !== undefined) void delivery[what]();
        }
        await turns(1);
        drop();
      }
      for (let round = 0; round < 60 && store.done.length < published.length; round++) {
        for (const delivery of held.splice(0)) void delivery.ack();
        await pass(1000);
        // The exchange that the timer started takes some turns.
        await turns(10);
        store.expire(new Set(held.map(({ id }) => id)));
      }
      await meanwhile(Promise.all(published));
      expect([...store.done].sort((a, b) => a - b)).toEqual(published.map((_, n) => n));
      expect(store.problems).toEqual([]);
      expect(await meanwhile(queue.stats())).toEqual({ ready: 0, unfinished: 0 });
      subscription.unsubscribe();
      await meanwhile(queue.close());
      await pass(1000);
      expect(jest.getTimerCount()).toBe(0);
    };
    const fate = fc.constantFrom<Fate>('well', 'well', 'well', 'lost before', 'lost after');
    const property = fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 25 }),
      fc.array(fate, { maxLength: 20 }),
      run,
    );
    await fc.assert(property, { numRuns: 60 });
  });

  it('settles many messages beside exchanges, and gets back what was lost', async () => {
    let settles = 0;
    const run = async (
      steps: readonly { what: 'publish' | 'ack' | 'nack' | 'release' | 'pass'; n: number }[],
      fates: readonly Fate[],
    ) => {
      jest.clearAllTimers();
      const store = new SettlingStore();
      store.fates = [...fates];
      const options = { name: 'orders', logger: recordingLogger(), publishTimeout: 1_000_000, lease: 1_000_000 };
      const queue = new PullBackend(store, options);
      const held: Delivery[] = [];
      const published: Promise<void>[] = [];
      const subscription = queue.deliveries({ prefetch: 40 }).subscribe((delivery) => {
        const { n } = delivery.payload as { n: number };
        if (store.done.includes(n)) store.problems.push(`${n} was redelivered`);
        if (held.some(({ payload }) => (payload as { n: number }).n === n))
          store.problems.push(`${n} is in flight twice`);
        held.push(delivery);
        if (held.length > 40) store.problems.push(`${held.length} in flight`);
      });
      for (const { what, n } of steps) {
        if (what === 'publish')
          for (let count = 0; count < 25; count++) published.push(queue.publish('n', { n: published.length }));
        else if (what === 'pass') await pass(n);
        else if (what === 'ack') for (const delivery of held.splice(0, 20 + n)) void delivery.ack();
        else void held.splice(n, 1)[0]?.[what]();
        await turns(2);
      }
      for (let round = 0; round < 60 && store.done.length < published.length; round++) {
        for (const delivery of held.splice(0)) void delivery.ack();
        await pass(1000);
        await turns(10);
      }
      await meanwhile(Promise.all(published));
      expect([...store.done].sort((a, b) => a - b)).toEqual(published.map((_, n) => n));
      expect(store.problems).toEqual([]);
      expect(await meanwhile(queue.stats())).toEqual({ ready: 0, unfinished: 0 });
      subscription.unsubscribe();
      await meanwhile(queue.close());
      await pass(1000);
      expect(jest.getTimerCount()).toBe(0);
      settles += store.settles;
    };
    const fate = fc.constantFrom<Fate>('well', 'well', 'well', 'lost before', 'lost after');
    const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), fc.array(fate, { maxLength: 20 }), run);
    await fc.assert(property, { numRuns: 400 });
    expect(settles).toBeGreaterThan(10);
  });

  it('requeues no message beside an exchange that waited for many acks', async () => {
    const store = new SettlingStore();
    const queue = new PullBackend(store, { name: 'orders', logger: recordingLogger() });
    const published = Promise.all(Array.from({ length: 900 }, (_, n) => queue.publish('n', { n })));
    await meanwhile(published);
    const held: Delivery[] = [];
    const subscription = queue.deliveries({ prefetch: 700 }).subscribe((delivery) => held.push(delivery));
    for (let round = 0; round < 20 && held.length < 700; round++) await pass(10);
    let answer = () => {};
    const settle = store.settle.bind(store);
    store.settle = async (...given) => {
      const settled = await settle(...given);
      if (store.settles === 1) await new Promise<void>((resolve) => (answer = resolve));
      return settled;
    };
    for (const delivery of held.splice(0, 20)) void delivery.ack();
    await pass(1);
    for (const delivery of held.splice(0, 600)) void delivery.ack();
    // The next exchange waits for the first acks.
    await pass(1);
    void held.splice(0, 1)[0]?.nack();
    answer();
    for (let round = 0; round < 50 && store.done.length < 620; round++) await pass(10);
    expect(store.settles).toBeGreaterThan(0);
    expect(store.done).toHaveLength(620);
    expect(store.problems).toEqual([]);
    subscription.unsubscribe();
    await meanwhile(queue.close());
  });

  it('quarantines an invalid message, and delivers the next one', async () => {
    const store = new UnreliableStore();
    const logger = recordingLogger();
    const queue = new PullBackend(store, { name: 'orders', logger });
    await queue.publish('n', { n: 0 });
    await queue.publish('n', { n: 1 });
    const [first] = store.rows;
    Object.assign(first as Row, { message: { ...first?.message, payload: '[1]' } });
    const seen: unknown[] = [];
    queue.deliveries().subscribe(({ payload }) => seen.push(payload));
    for (let round = 0; round < 5; round++) await pass(10);
    expect(seen).toEqual([{ n: 1 }]);
    expect(logger.errors).toEqual([expect.stringMatching(/^Message \S+ of queue "orders" is invalid: .*quarantine/)]);
    await queue.close();
  });

  it('notifies a pausing subscriber when nothing is in transit to it', async () => {
    const queue = new PullBackend(new UnreliableStore(), { name: 'orders', logger: recordingLogger() });
    const credit = new Credit(5);
    const subscription = withCredit(queue.deliveries(), credit)?.subscribe();
    for (let round = 0; round < 5; round++) await pass(10);
    let isQuiet = false;
    credit.pause(() => {
      isQuiet = true;
    });
    await pass(10);
    expect(isQuiet).toBe(true);
    subscription?.unsubscribe();
    await queue.close();
  });

  it('does not count an ack that the store refused until the lease had expired', async () => {
    const store = Object.assign(new UnreliableStore(), { classify: () => 'refused' as const });
    const queue = new PullBackend(store, { name: 'orders', logger: recordingLogger() });
    await queue.publish('n', { n: 0 });
    const held: Delivery[] = [];
    queue.deliveries({ prefetch: 1 }).subscribe((delivery) => held.push(delivery));
    for (let round = 0; round < 5; round++) await pass(10);
    store.fates = ['lost before'];
    const acked = held[0]?.ack() as Promise<boolean>;
    await turns(5);
    store.expire(new Set());
    await pass(1000);
    expect(await meanwhile(acked)).toBe(false);
    await queue.close();
  });
});

import fc from 'fast-check';
import type { DriverDelivery } from '../../src/core/delivery.js';
import { InFlight } from '../../src/core/in-flight.js';
import { turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';
import { Customer, messageOf } from './fakes.js';

/** InFlight and its subscribers. */
class Counter {
  readonly logger = recordingLogger();
  readonly settled: string[] = [];
  changes = 0;
  fulls = 0;
  counts: (id: string) => boolean = () => true;

  readonly inFlight = new InFlight({
    queueName: 'orders',
    logger: this.logger,
    onChange: () => this.changes++,
    onFull: () => this.fulls++,
    settle: async ({ id, settled }, { delay }) => {
      this.settled.push(`${id} ${settled} ${delay}`);
      return this.counts(id);
    },
  });

  connect(prefetch: number, onComplete?: () => void): Customer {
    return new Customer(this.inFlight, prefetch, onComplete);
  }
}

describe('InFlight', () => {
  it('delivers nothing without a subscriber', () => {
    const { inFlight } = new Counter();
    expect([
      inFlight.deliver(messageOf('1')),
      inFlight.hasCredit,
      inFlight.credit,
      inFlight.size,
      inFlight.hasMembers,
    ]).toEqual([undefined, false, 0, 0, false]);
  });

  it('delivers to subscribers in turn, while each has credit', () => {
    const counter = new Counter();
    const customers = [1, 3, 2].map((prefetch) => counter.connect(prefetch));
    expect(counter.inFlight.credit).toBe(6);
    for (let id = 1; id <= 7; id++) counter.inFlight.deliver(messageOf(String(id)));
    expect(customers.map(({ seen }) => seen)).toEqual([['1'], ['2', '4', '6'], ['3', '5']]);
    expect([counter.inFlight.credit, counter.inFlight.size, [...counter.inFlight.ids]]).toEqual([
      0,
      6,
      ['1', '2', '3', '4', '5', '6'],
    ]);
  });

  it('warns of a settlement that did not count and marks the delivery as retried', async () => {
    const counter = new Counter();
    counter.connect(1);
    counter.counts = () => false;
    const delivery = counter.inFlight.deliver(messageOf('1'));
    expect(await delivery?.ack()).toBe(false);
    expect(delivery?.settled).toBe('retried');
    expect(counter.logger.warnings).toEqual([
      'Delivery 1 ("key") from queue "orders" could not be acked: its lease has expired, or the queue was closed or purged',
    ]);
  });

  it('ends the earlier delivery of a redelivered message', async () => {
    const counter = new Counter();
    const [one, two] = [counter.connect(1), counter.connect(1)];
    const first = counter.inFlight.deliver(messageOf('1'));
    const second = counter.inFlight.deliver(messageOf('1', 2));
    expect([one.seen, two.seen, counter.inFlight.size, counter.inFlight.credit]).toEqual([['1'], ['1'], 1, 1]);
    expect([first?.settled, second?.settled]).toEqual(['retried', false]);
    expect([await first?.ack(), await second?.ack(), counter.settled]).toEqual([false, true, ['1 acked 0']]);
  });

  it('distinguishes messages with the same id by their tokens', async () => {
    const counter = new Counter();
    counter.connect(2);
    const [first, second] = ['a', 'b'].map((token) => counter.inFlight.deliver({ ...messageOf('1'), token }));
    expect([[...counter.inFlight.ids], first?.token, second?.id]).toEqual([['a', 'b'], 'a', '1']);
    counter.inFlight.recall('a');
    expect([first?.settled, await second?.ack(), counter.inFlight.size]).toEqual(['retried', true, 0]);
  });

  it('accepts any delay of a nack, unless the engine has a maximum', () => {
    const { logger } = new Counter();
    const open = (longestDelay?: number) =>
      new InFlight({ queueName: 'q', logger, longestDelay, onChange() {}, onFull() {}, settle: async () => true });
    expect([open().longestDelay, open(7).longestDelay]).toEqual([Number.MAX_SAFE_INTEGER, 7]);
  });

  it('delivers nothing to a subscriber that unsubscribes because its earlier delivery ended', () => {
    const counter = new Counter();
    const first = counter.connect(1, () => second.subscription.unsubscribe());
    const second = counter.connect(1);
    counter.inFlight.deliver(messageOf('1'));
    first.abort();
    // The lease of the first expired: its subscriber completes, and unsubscribes the second.
    counter.inFlight.deliver(messageOf('1', 2));
    expect([first.seen, second.seen, counter.inFlight.size]).toEqual([['1', 'complete'], [], 0]);
  });

  it('works again after its end', () => {
    const counter = new Counter();
    const first = counter.connect(1);
    counter.inFlight.deliver(messageOf('1'));
    counter.inFlight.end({ error: 'wrong password' });
    const second = counter.connect(1);
    counter.inFlight.deliver(messageOf('1', 2));
    expect([first.seen, second.seen, counter.settled]).toEqual([
      ['1', 'failed: wrong password'],
      ['1'],
      ['1 retried 0'],
    ]);
  });
});

const HOW = { ack: 'acked', nack: 'retried', release: 'released', reject: 'rejected' } as const;

type Step = readonly [what: 'connect' | 'deliver' | 'recall' | 'leave' | 'abort' | 'end' | keyof typeof HOW, n: number];

const some = <What extends Step[0]>(n: fc.Arbitrary<number>, ...what: What[]) => fc.tuple(fc.constantFrom(...what), n);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: some(fc.integer({ min: 1, max: 4 }), 'connect') },
  { weight: 9, arbitrary: some(fc.nat(15), 'deliver') },
  { weight: 5, arbitrary: some(fc.nat(15), 'ack', 'nack', 'release', 'reject') },
  { weight: 3, arbitrary: some(fc.nat(5), 'recall', 'leave', 'abort') },
  { weight: 1, arbitrary: some(fc.constant(0), 'end') },
);

/** A subscriber of the model. */
interface Known {
  readonly customer: Customer;
  readonly expected: string[];
  readonly held: Set<string>;
  stopped: boolean;
  gone: boolean;
}

/** The expected deliveries. */
class Model {
  readonly members: Known[] = [];
  line: Known[] = [];
  readonly settled: string[] = [];

  credit({ stopped, held, customer }: Known): number {
    return stopped ? 0 : customer.prefetch - held.size;
  }

  connect(customer: Customer): void {
    const known = { customer, expected: [], held: new Set<string>(), stopped: false, gone: false };
    this.members.push(known);
    this.line.push(known);
  }

  /** Returns whether a subscriber accepts the message. */
  deliver(id: string): boolean {
    this.free(id);
    const holder = this.line.shift();
    if (holder === undefined) return false;
    holder.held.add(id);
    holder.expected.push(id);
    if (this.credit(holder) > 0) this.line.push(holder);
    return true;
  }

  /** Ends a delivery, and frees the credit of its subscriber. */
  free(id: string): void {
    const holder = this.members.find(({ held }) => held.has(id));
    if (holder === undefined) return;
    holder.held.delete(id);
    if (!this.line.includes(holder) && this.credit(holder) > 0) this.line.push(holder);
    if (holder.stopped && holder.held.size === 0) this.leave(holder, 'complete');
  }

  leave(member: Known, ...last: string[]): void {
    if (member.gone) return;
    member.expected.push(...last);
    member.stopped = member.gone = true;
    this.line = this.line.filter((other) => other !== member);
    for (const id of member.held) this.settled.push(`${id} retried 0`);
    member.held.clear();
  }

  abort(member: Known): void {
    if (member.held.size === 0) this.leave(member, 'complete');
    member.stopped = true;
    this.line = this.line.filter((other) => other !== member);
  }
}

describe('InFlight and a model', () => {
  it('agree on deliveries and credit at any time', async () => {
    const run = async (steps: readonly Step[]) => {
      const counter = new Counter();
      const { inFlight } = counter;
      const model = new Model();
      const delivered: DriverDelivery[] = [];
      const answers: Promise<boolean>[] = [];
      const counted: boolean[] = [];
      counter.counts = (id) => Number(id) % 2 === 0;
      for (const [what, n] of steps) {
        const { credit: room, hasMembers } = inFlight;
        const [changes, fulls] = [counter.changes, counter.fulls];
        const member = model.members[n];
        if (what === 'connect') {
          model.connect(counter.connect(n));
        } else if (what === 'deliver') {
          const delivery = inFlight.deliver(messageOf(String(n)));
          expect(delivery?.id).toBe(model.deliver(String(n)) ? String(n) : undefined);
          if (delivery !== undefined) delivered.push(delivery);
        } else if (what === 'recall') {
          inFlight.recall(String(n));
          model.free(String(n));
        } else if (what === 'leave' || what === 'abort') {
          if (member === undefined) continue;
          what === 'leave' ? member.customer.subscription.unsubscribe() : member.customer.abort();
          what === 'leave' ? model.leave(member) : model.abort(member);
        } else if (what === 'end') {
          inFlight.end();
          for (const other of model.members) model.leave(other, 'complete');
        } else {
          const delivery = delivered[delivered.length - 1 - n];
          if (delivery === undefined) continue;
          const { id, settled } = delivery;
          answers.push(delivery[what]());
          counted.push(settled === false && counter.counts(id));
          if (settled !== false) continue;
          model.settled.push(`${id} ${HOW[what]} 0`);
          model.free(id);
        }
        expect({
          out: [...inFlight.ids],
          room: inFlight.credit,
          hasCredit: inFlight.hasCredit,
          hasMembers: inFlight.hasMembers,
          settled: counter.settled,
        }).toEqual({
          out: delivered.filter(({ settled }) => settled === false).map(({ id }) => id),
          room: model.line.reduce((sum, one) => sum + model.credit(one), 0),
          hasCredit: model.line.length > 0,
          hasMembers: model.members.some(({ gone }) => !gone),
          settled: model.settled,
        });
        expect(inFlight.size).toBe(model.members.reduce((sum, { held }) => sum + held.size, 0));
        if (inFlight.credit > room || (hasMembers && !inFlight.hasMembers))
          expect(counter.changes).toBeGreaterThan(changes);
        if (room > 0 && inFlight.credit === 0 && what !== 'deliver') expect(counter.fulls).toBeGreaterThan(fulls);
      }
      for (const { customer, expected } of model.members) expect(customer.seen).toEqual(expected);
      expect(await Promise.all(answers)).toEqual(counted);
      inFlight.end();
      await turns(1);
      for (const { customer } of model.members) expect(listenersOf(customer.signal)).toBe(0);
      expect([inFlight.size, inFlight.credit, inFlight.hasMembers]).toEqual([0, 0, false]);
    };
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 60, size: 'max' }), run), { numRuns: 200 });
  });
});

describe('InFlight with changing credit', () => {
  it('delivers up to the credit', () => {
    const counter = new Counter();
    const customer = counter.connect(2);
    customer.credit.allow(3);
    expect([counter.inFlight.credit, counter.changes]).toEqual([3, 2]);
    for (const id of ['1', '2', '3']) counter.inFlight.deliver(messageOf(id));
    expect([customer.seen, counter.inFlight.hasCredit]).toEqual([['1', '2', '3'], false]);
    customer.credit.allow(4);
    expect(counter.inFlight.credit).toBe(1);
  });

  it('delivers messages that were requested before the credit shrank', () => {
    const counter = new Counter();
    const customer = counter.connect(3);
    customer.credit.allow(1);
    expect([counter.inFlight.credit, counter.inFlight.acceptsExcess, counter.inFlight.isPausing]).toEqual([
      1,
      true,
      false,
    ]);
    for (const id of ['1', '2']) counter.inFlight.deliver(messageOf(id));
    expect([customer.seen, counter.inFlight.hasCredit, counter.inFlight.canDeliver]).toEqual([['1', '2'], false, true]);
    counter.inFlight.quiet();
    expect([counter.inFlight.canDeliver, counter.inFlight.deliver(messageOf('3'))]).toEqual([false, undefined]);
  });

  it('delivers requested messages to a pausing subscriber and calls back when none can arrive', () => {
    const counter = new Counter();
    const customer = counter.connect(3);
    let quiet = 0;
    customer.credit.pause(() => quiet++);
    expect([counter.inFlight.credit, counter.inFlight.isPausing, quiet]).toEqual([0, true, 0]);
    counter.inFlight.deliver(messageOf('1'));
    expect(customer.seen).toEqual(['1']);
    counter.inFlight.quiet();
    counter.inFlight.quiet();
    expect([quiet, counter.inFlight.canDeliver]).toEqual([1, false]);
    customer.credit.resume();
    expect([counter.inFlight.credit, quiet]).toEqual([2, 1]);
  });

  it('prefers other subscribers', () => {
    const counter = new Counter();
    const [first, second] = [counter.connect(3), counter.connect(1)];
    first?.credit.pause(() => undefined);
    for (const id of ['1', '2']) counter.inFlight.deliver(messageOf(id));
    expect([first?.seen, second?.seen]).toEqual([['2'], ['1']]);
  });

  it('calls back a subscriber that pauses and stops, in either order', () => {
    const counter = new Counter();
    const told: string[] = [];
    const one = counter.connect(2);
    counter.inFlight.deliver(messageOf('1'));
    one.credit.pause(() => told.push('one'));
    one.abort();
    const two = counter.connect(2);
    counter.inFlight.deliver(messageOf('2'));
    two.abort();
    two.credit.pause(() => told.push('two'));
    expect(told).toEqual(['one', 'two']);
  });
});

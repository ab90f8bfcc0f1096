import { inspect } from 'node:util';
import type { Disposition } from '../../src/core/base-delivery.js';
import { type DeliveryOwner, DriverDelivery } from '../../src/core/delivery.js';
import { rejectionOf, turns } from '../support/promises.js';
import { messageOf } from './fakes.js';

/** Records its calls. */
class RecordingOwner implements DeliveryOwner {
  readonly groupName = 'billing';
  readonly longestDelay = 5000;
  readonly told: unknown[][] = [];
  counts = true;

  async settle({ settled }: DriverDelivery, { action, isCounted, delay }: Disposition): Promise<boolean> {
    this.told.push(['settle', isCounted ? action : `${action}, uncounted`, delay, settled]);
    return this.counts;
  }

  rejected({ settled }: DriverDelivery, reason: unknown): void {
    this.told.push(['rejected', reason, settled]);
  }

  settledAgain({ settled }: DriverDelivery, call: string): void {
    this.told.push(['again', call, settled]);
  }
}

let owner: RecordingOwner;
let delivery: DriverDelivery;

beforeEach(() => {
  owner = new RecordingOwner();
  delivery = new DriverDelivery(owner, 'orders', messageOf('1-0', 2));
});

const call = {
  ack: () => delivery.ack(),
  nack: () => delivery.nack(),
  release: () => delivery.release(),
  reject: () => delivery.reject('why'),
};

describe('DriverDelivery', () => {
  it('shows only the message and its queue to JSON and the inspector', () => {
    const record = { queue: 'orders', ...messageOf('1-0', 2), settled: false };
    expect(delivery).toMatchObject(record);
    expect(JSON.parse(JSON.stringify(delivery))).toEqual(record);
    expect(inspect(delivery)).toBe(inspect(record));
  });

  it('rejects when its settlement fails with a fatal error, without an unhandled rejection', async () => {
    const unhandled: unknown[] = [];
    const note = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', note);
    owner.settle = () => Promise.reject(new Error('refused'));
    void delivery.ack();
    await turns(5);
    process.off('unhandledRejection', note);
    expect(unhandled).toEqual([]);
    const other = new DriverDelivery(owner, 'orders', messageOf('2-0', 1));
    expect(await rejectionOf(other.ack())).toMatchObject({ message: 'refused' });
  });

  it.each([
    ['ack', 'acked', 'finish'],
    ['nack', 'retried', 'requeue'],
    ['release', 'released', 'requeue, uncounted'],
    ['reject', 'rejected', 'drop'],
  ] as const)('is settled by %s() once, as %s, and tells the engine to %s', async (name, how, action) => {
    expect(await call[name]()).toBe(true);
    expect([delivery.settled, owner.told.at(-1)]).toEqual([how, ['settle', action, 0, how]]);
    owner.told.length = 0;
    for (const later of Object.values(call)) expect(await later()).toBe(false);
    expect(delivery.settled).toBe(how);
    expect(owner.told).toEqual(Object.keys(call).map((later) => ['again', later, how]));
  });

  it('stores the reason, is settled, and then calls its owner', () => {
    void delivery.reject('why');
    expect(owner.told).toEqual([
      ['rejected', 'why', false],
      ['settle', 'drop', 0, 'rejected'],
    ]);
  });

  it('resolves to whether the settlement counted', async () => {
    owner.counts = false;
    expect(await delivery.ack()).toBe(false);
  });

  it('is requeued with a delay that the engine accepts', async () => {
    expect(await delivery.nack({ delay: 5000 })).toBe(true);
    expect(owner.told).toEqual([['settle', 'requeue', 5000, 'retried']]);
  });

  it.each([
    [{ delay: -1 }],
    [{ delay: 5001 }],
    [{ delay: Number.NaN }],
    [{ delay: Number.POSITIVE_INFINITY }],
    [{ delay: '5' }],
    [7],
    [null],
  ])('is not settled by a nack with %p', async (options) => {
    expect(String(await rejectionOf(delivery.nack(options as object)))).toMatch(
      /^(Type|Range)Error: Expected `(delay|options)`/,
    );
    expect([delivery.settled, owner.told]).toEqual([false, []]);
    expect(await delivery.ack()).toBe(true);
  });

  it('cannot be settled after a recall', async () => {
    delivery.recall();
    expect([delivery.settled, await delivery.ack()]).toEqual(['retried', false]);
    expect(owner.told).toEqual([['again', 'ack', 'retried']]);
  });
});

import {
  AsyncLoopConsumer,
  type Delivery,
  MemoryBackend,
  type PublishArguments,
  type QueueBackend,
  receive,
} from 'sluice';
import { replay } from '../../examples/replay.js';
import { numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { deferred } from '../support/handling.js';
import { stateOf, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

const LETTERS = 5;

type Seen = readonly [n: number, headers: Delivery['headers'], attempt: number];

/** Handles messages for a group and fails those for which `fails` returns true. */
function consumerOf(queue: QueueBackend, group: string, deadLetter: QueueBackend, fails: (n: number) => boolean) {
  const seen: Seen[] = [];
  const consumer = new AsyncLoopConsumer(queue, { group, deadLetter, retry: { count: 0 }, logger: silentLogger });
  const running = consumer.run((payload, { headers, attempt }) => {
    const n = numberOf(payload);
    if (fails(n)) throw new Error('no funds');
    seen.push([n, headers, attempt]);
  });
  return {
    // Sorted by number.
    get seen(): Seen[] {
      return seen.toSorted(([one], [other]) => one - other);
    },
    stop: () => consumer.shutdown().then(() => running),
  };
}

/** Replays on any backend. Handlers of the first group have failed. */
async function replaysOnce(
  orders: QueueBackend,
  failed: QueueBackend,
  groups: readonly [string, ...string[]],
): Promise<void> {
  let failing = true;
  const consumers = groups.map((group, index) => consumerOf(orders, group, failed, () => failing && index === 0));
  for (const n of upTo(LETTERS)) await orders.publish('number', { n }, { headers: { trace: `t${n}` } });
  await eventually(async () => (await failed.stats()).ready === LETTERS && (await orders.stats()).unfinished === 0);
  failing = false;

  expect(await replay(failed, [failed, orders])).toBe(LETTERS);
  const expected = upTo(LETTERS).map((n) => [n, { trace: `t${n}` }, 1]);
  await eventually(() => consumers[0]?.seen.length === LETTERS);
  await eventually(async () => (await orders.stats()).unfinished === 0 && (await failed.stats()).unfinished === 0);
  expect(consumers.map(({ seen }) => seen)).toEqual(groups.map(() => expected));
  expect(await replay(failed, [orders])).toBe(0);
  for (const { stop } of consumers) await stop();
}

function replaysOn<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  const open = (suffix: string, groups?: readonly string[]) => {
    const queue = broker.open({ url: stage.url, name: stage.name + suffix, groups, logger: silentLogger });
    stage.ending(() => queue.close());
    return queue;
  };

  it('publishes each dead letter unchanged, only to the group in which it failed', async () => {
    await replaysOnce(open('', ['billing', 'audit']), open('.failed'), ['billing', 'audit']);
  });

  it('publishes each dead letter to the only group', async () => {
    await replaysOnce(open(''), open('.failed'), ['default']);
  });
}

describeWithEveryEngine('Replay of dead letters on %s', replaysOn);

describe('Replay of dead letters in memory', () => {
  /** A dead letter queue with one letter from each of the given queues. */
  function lettersFrom(...queues: readonly string[]): MemoryBackend {
    const failed = new MemoryBackend({ name: 'failed', logger: silentLogger });
    for (const [index, queue] of queues.entries()) {
      void failed.publish(
        'number',
        { n: index + 1 },
        { headers: { 'sluice-queue': queue, 'sluice-group': 'billing', 'sluice-error': 'Error: boom', trace: 'abc' } },
      );
    }
    return failed;
  }

  /** A queue with the given publish function. */
  function queueOf(publish: (...message: PublishArguments) => Promise<void>): QueueBackend {
    const queue = new MemoryBackend({ name: 'orders', logger: silentLogger });
    return Object.assign(queue, { publish });
  }

  it.each([['billing'], ['default']] as const)(
    'publishes each dead letter unchanged to the group %s',
    async (group) => {
      const orders = new MemoryBackend({ name: 'orders', groups: [group], logger: silentLogger });
      await replaysOnce(orders, lettersFrom(), [group]);
    },
  );

  it('publishes each dead letter only to the group in which it failed', async () => {
    const groups = ['billing', 'audit'] as const;
    await replaysOnce(new MemoryBackend({ name: 'orders', groups, logger: silentLogger }), lettersFrom(), groups);
  });

  it('names the group and omits the headers of the dead letter', async () => {
    const published: PublishArguments[] = [];
    await replay(lettersFrom('orders'), [queueOf(async (...message) => void published.push(message))]);
    expect(published).toEqual([['number', { n: 1 }, { headers: { trace: 'abc' }, group: 'billing' }]]);
  });

  it('acknowledges a dead letter once its message is published', async () => {
    const failed = lettersFrom('orders');
    const published = deferred();
    const replaying = replay(failed, [queueOf(() => published.promise)]);
    await turns();
    expect([await stateOf(replaying), failed.unfinished]).toEqual(['pending', 1]);
    published.resolve();
    expect([await replaying, failed.unfinished]).toEqual([1, 0]);
  });

  it('keeps a dead letter whose publish fails, and those behind it', async () => {
    const failed = lettersFrom('orders', 'orders', 'orders');
    const refused = new Error('refused');
    const orders = queueOf(async (_, { n }: { n?: number }) => {
      if (n === 2) throw refused;
    });
    await expect(replay(failed, [orders])).rejects.toBe(refused);
    expect(failed.size).toBe(2);
  });

  it('keeps a dead letter from a queue that it was not given', async () => {
    const failed = lettersFrom('invoices');
    await expect(replay(failed, [queueOf(async () => {})])).rejects.toThrow(/ is from queue "invoices"\./);
    expect(failed.size).toBe(1);
  });

  it('leaves messages that fail again for the next replay', async () => {
    const failed = lettersFrom('orders', 'orders');
    const orders = queueOf(() => failed.publish('number', { n: 3 }, { headers: { 'sluice-queue': 'orders' } }));
    expect(await replay(failed, [orders])).toBe(2);
    expect(failed.size).toBe(2);
  });

  it('ends if another consumer has taken the rest', async () => {
    const failed = lettersFrom('orders', 'orders', 'orders');
    const orders = queueOf(async () => {
      for (const _ of upTo(2)) await (await receive(failed)).ack();
    });
    expect(await replay(failed, [orders])).toBe(1);
    expect(failed.unfinished).toBe(0);
  });

  it('stops after the current dead letter when its signal aborts', async () => {
    const failed = lettersFrom('orders', 'orders', 'orders');
    const controller = new AbortController();
    const orders = queueOf(async () => controller.abort());
    expect(await replay(failed, [orders], controller.signal)).toBe(1);
    expect(failed.size).toBe(2);
  });
});

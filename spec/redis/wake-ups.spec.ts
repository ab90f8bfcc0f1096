import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisBackend, RedisBackendOptions } from 'sluice/redis';
import { Credit, withCredit } from '../../src/bridge/credit.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { isAtLeast } from '../support/servers/server-version.js';

/** In milliseconds. Longer than the test, so that a consumer checks only if it is woken up. */
const NEVER = 600_000;

jest.mock('../../src/redis/listener.js', () => ({
  ...jest.requireActual('../../src/redis/listener.js'),
  LONGEST_WAIT: 600_000,
}));

describeWithRedis('A waiting Redis consumer', () => {
  retryOnce();
  const suite = new RedisSuite();

  const open = (options: Partial<RedisBackendOptions> = {}) => suite.open({ lease: 2 * NEVER, ...options });

  /** The number of consumers that wait on the server. */
  const waiting = async () =>
    String(await suite.run('CLIENT', 'LIST'))
      .split('\n')
      .filter((line) => / flags=\S*b/.test(line)).length;

  const waits = (count = 1) => eventually(async () => (await waiting()) === count);

  /** Makes a waiting consumer in a backend of its own. */
  const idle = async (prefetch = 10, count = 1) => {
    const holder = new Holder(open(), { prefetch });
    await waits(count);
    return holder;
  };

  /** Makes a backend with message 1 in flight. */
  const holding = async (prefetch = 1) => {
    const queue = open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue, { prefetch });
    await eventually(() => holder.deliveries.length === 1);
    return { queue, holder };
  };

  /** Nacks message 1 with a delay. The consumer then knows when that message is due. */
  const delayed = async (holder: Holder) => {
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).nack({ delay: 300 })).toBe(true);
  };

  const comes = (holder: Holder, n = 1) => eventually(() => holder.numbers.includes(n));

  it('receives a published message immediately', async () => {
    const holder = await idle();
    await open().publish('key', { n: 1 });
    await comes(holder);
  });

  it('receives a message that another backend publishes with a delay once it is due', async () => {
    const holder = await idle();
    await open().publish('key', { n: 1 }, { delay: 100 });
    await comes(holder);
  });

  describe('when it pauses', () => {
    /** Adds a subscriber beside another one of the same process, which receives all messages. */
    const besideAnother = async (onNext?: (pause: () => void) => void) => {
      const queue = open();
      const credit = new Credit(1);
      let isQuiet = false;
      const pause = () =>
        credit.pause(() => {
          isQuiet = true;
        });
      new Holder(queue, { prefetch: 10 }, () => onNext?.(pause));
      const subscription = withCredit(queue.deliveries(), credit)?.subscribe();
      suite.ending(() => subscription?.unsubscribe());
      await waits();
      return { pause, becomesQuiet: () => eventually(() => isQuiet) };
    };

    it('learns that nothing is on its way while another consumer of its process waits', async () => {
      const { pause, becomesQuiet } = await besideAnother();
      pause();
      await becomesQuiet();
      await waits();
    });

    it('learns that nothing is on its way before another consumer of its process waits', async () => {
      await open().publish('key', { n: 1 });
      const { becomesQuiet } = await besideAnother((pause) => pause());
      await becomesQuiet();
      await waits();
    });
  });

  it('receives a message that becomes due earlier than expected', async () => {
    const publisher = open();
    await publisher.publish('key', { n: 1 }, { delay: 60_000 });
    const holder = await idle();
    await publisher.publish('key', { n: 2 }, { delay: 200 });
    await publisher.publish('key', { n: 3 }, { delay: 100 });
    await comes(holder, 3);
    await comes(holder, 2);
    expect(holder.numbers).toEqual([3, 2]);
  });

  it('is not woken by a message that becomes due later than the next one', async () => {
    const publisher = open();
    await publisher.publish('key', { n: 1 }, { delay: 60_000 });
    await idle();
    const wakeUps = async () => Number(String(await suite.run('XINFO', 'STREAM', suite.key('bell'))).split(',')[9]);
    const before = await wakeUps();
    await publisher.publish('key', { n: 2 }, { delay: 61_000 });
    expect(await wakeUps()).toBe(before);
  });

  it.each<[how: string, giveBack: (holder: Holder, queue: RedisBackend) => unknown]>([
    ['releases', ({ deliveries: [delivery] }) => delivery?.release()],
    ['nacks', ({ deliveries: [delivery] }) => delivery?.nack()],
    ['nacks with a delay', ({ deliveries: [delivery] }) => delivery?.nack({ delay: 100 })],
    ['requeues by unsubscribing', ({ subscription }) => subscription.unsubscribe()],
    ['requeues by closing', (_holder, queue) => queue.close()],
  ])('receives a message that another consumer %s before it leaves', async (_how, giveBack) => {
    const { queue, holder } = await holding();
    const other = await idle();
    const given = giveBack(holder, queue);
    holder.subscription.unsubscribe();
    await given;
    await comes(other);
  });

  it('receives a message that another, now busy, consumer nacks with a delay', async () => {
    const { queue, holder } = await holding(1);
    const other = await idle();
    const busy = queue.publish('key', { n: 2 });
    await busy;
    await comes(other, 2);
    await holder.of(1).nack({ delay: 300 });
    // The holder waits until the message becomes due, and then has no credit left.
    await waits(2);
    await suite.run('XADD', suite.name, '*', 'key', 'key', 'payload', '{"n":3}');
    await suite.run('XADD', suite.name, '*', 'key', 'key', 'payload', '{"n":4}');
    await eventually(() => [...holder.numbers, ...other.numbers].filter((n) => n >= 3).length === 2);
    await eventually(() => [...holder.attempts, ...other.attempts].some(([n, attempt]) => n === 1 && attempt === 2));
  });

  it.each<[how: string, leave: (holder: Holder, queue: RedisBackend) => unknown]>([
    ['unsubscribes', ({ subscription }) => subscription.unsubscribe()],
    ['closes', (_holder, queue) => queue.close()],
    ['has no credit left', () => open().publish('key', { n: 99 })],
  ])('takes over waiting for a due message from a consumer that %s', async (_how, stop) => {
    const first = open();
    const watcher = new Holder(first, { prefetch: 1 });
    await waits(1);
    const publisher = open();
    await publisher.publish('key', { n: 1 }, { delay: 4000 });
    // The watcher has received the wake-up and is the only one that knows when the message is due.
    await sleep(100);
    await waits(1);
    const second = open();
    const other = new Holder(second, { prefetch: 10 });
    await waits(2);
    await stop(watcher, first);
    const all = () => [...watcher.numbers, ...other.numbers];
    await eventually(() => all().includes(1));
  });

  it.each<[what: string, prepare: (watcher: Holder) => Promise<unknown>]>([
    ['a publish', () => open().publish('key', { n: 1 }, { delay: 300 })],
    [
      'a nack',
      (watcher) =>
        suite
          .open()
          .publish('key', { n: 1 })
          .then(() => delayed(watcher)),
    ],
  ])('replaces an expired idle consumer that waits for %s with a delay', async (_what, prepare) => {
    const { proxy, url } = await suite.proxy();
    // The server wakes the consumer that has waited longest. The other one restarts its wait
    // repeatedly.
    const watcher = new Holder(open({ url }), { prefetch: 1 });
    await waits(1);
    const other = new Holder(open({ lease: 500 }));
    await waits(2);
    await prepare(watcher);
    // Only the watcher knows when the message is due, and it dies before that.
    proxy.stall();
    await proxy.refuse();
    proxy.cut();
    await comes(other);
  });

  it('takes over from a consumer that leaves before it receives the reply', async () => {
    const { proxy, url } = await suite.proxy();
    const leaving = new Holder(open({ url }), { prefetch: 1 });
    await open().publish('key', { n: 1 });
    await eventually(() => leaving.deliveries.length === 1);
    const other = await idle();
    proxy.stall('to-client');
    void leaving.of(1).nack({ delay: 300 });
    await eventually(async () => (await suite.run('EXISTS', suite.key('later:default'))) === 1);
    leaving.subscription.unsubscribe();
    proxy.resume();
    await comes(other);
  });

  it('is woken by another consumer that leaves after it was woken', async () => {
    const { proxy, url } = await suite.proxy();
    const leaving = new Holder(open({ url }));
    await waits(1);
    const other = await idle(10, 2);
    proxy.stall('to-client');
    // The server wakes the consumer that has waited longest.
    await open().publish('key', { n: 1 }, { delay: 500 });
    await waits(1);
    leaving.subscription.unsubscribe();
    proxy.resume();
    await comes(other);
  });

  it('is woken for the messages of its own group', async () => {
    const queue = open({ groups: ['a', 'b'] });
    const a = new Holder(queue, { group: 'a', prefetch: 1 });
    const b = new Holder(open({ groups: ['a', 'b'] }), { group: 'b' });
    await waits(2);
    await queue.publish('key', { n: 1 });
    await eventually(() => a.deliveries.length === 1 && b.deliveries.length === 1);
    await waits(1);
    await a.of(1).nack({ delay: 100 });
    await eventually(() => a.deliveries.length === 2);
    expect(b.numbers).toEqual([1]);
  });

  it('continues after the wake stream was deleted', async () => {
    const holder = await idle();
    await suite.run('DEL', suite.key('bell'));
    if (!isAtLeast('redis-server', [7, 0])) {
      // The server does not notify waiting consumers. The consumer notices when it waits again.
      await suite.run('XADD', suite.name, '*', 'key', 'key', 'payload', '{"n":0}');
      await comes(holder, 0);
    }
    await eventually(async () => (await suite.run('EXISTS', suite.key('bell'))) === 1);
    await waits(1);
    const exchanges = await suite.calls('evalsha');
    await sleep(500);
    expect((await suite.calls('evalsha')) - exchanges).toBeLessThan(5);
    await open().publish('key', { n: 1 }, { delay: 100 });
    await comes(holder);
  });

  it('stops when its last subscriber leaves and takes no more messages', async () => {
    const holder = await idle();
    holder.subscription.unsubscribe();
    await waits(0);
    await open().publish('key', { n: 1 });
    expect(await suite.pending()).toEqual([]);
  });

  it('does not begin to wait if its last subscriber leaves before there is a connection', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = open({ url });
    await queue.stats();
    await proxy.refuse();
    const holder = new Holder(queue);
    const group = async () => (await suite.run('XINFO', 'CONSUMERS', suite.name, 'default')) as unknown[];
    await eventually(async () => (await group()).length === 1);
    await queue.stats();
    holder.subscription.unsubscribe();
    await proxy.accept();
    await eventually(() => proxy.connections === 2);
    await sleep(50);
    expect(await waiting()).toBe(0);
    await open().publish('key', { n: 1 });
    expect(await suite.pending()).toEqual([]);
  });

  it.each(['is never established', 'is lost'])(
    'polls while its waiting connection %s, and closes promptly',
    async (how) => {
      const { proxy, url } = await suite.proxy();
      const queue = open({ url });
      await queue.stats();
      if (how === 'is never established') await proxy.refuse();
      const holder = new Holder(queue);
      if (how === 'is lost') {
        await waits(1);
        await proxy.refuse();
        const blocked = /^id=(\d+) .* flags=\S*b/m.exec(String(await suite.run('CLIENT', 'LIST')))?.[1];
        await suite.run('CLIENT', 'KILL', 'ID', String(blocked));
      }
      for (const n of [1, 2]) {
        await queue.publish('key', { n });
        await comes(holder, n);
      }
      await queue.close();
      // The queue has shut down: both messages are requeued.
      expect((await suite.pending()).map(([, consumer]) => consumer)).toEqual(['sluice:parked', 'sluice:parked']);
    },
  );

  it('waits on its connection again once it is established', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = open({ url });
    await queue.stats();
    await proxy.refuse();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await comes(holder);
    await proxy.accept();
    await waits(1);
    await queue.publish('key', { n: 2 });
    await comes(holder, 2);
  });

  it('requeues a message published while its last subscriber leaves, without settling it', async () => {
    const holder = await idle();
    const queue = open();
    await Promise.all([queue.publish('key', { n: 1 }), sleep(1).then(() => holder.subscription.unsubscribe())]);
    const next = await idle(10, 0).catch(() => undefined);
    expect(next).toBeDefined();
    await eventually(async () => (await queue.stats()).unfinished === 1);
    await eventually(() => [...holder.attempts, ...(next?.attempts ?? [])].length > 0);
  });

  it('receives delayed messages in the order of their due times, then of the calls', async () => {
    const queue = open();
    await Promise.all(Array.from({ length: 1500 }, (_, n) => queue.publish('key', { n }, { delay: 100 })));
    const holder = new Holder(queue, { prefetch: 3000 });
    await eventually(() => holder.deliveries.length === 1500);
    expect(holder.numbers).toEqual(Array.from({ length: 1500 }, (_, n) => n));
  });

  it('receives a message published after thousands became due after all of them', async () => {
    const queue = open();
    await Promise.all(Array.from({ length: 2500 }, (_, n) => queue.publish('key', { n }, { delay: 1 })));
    await sleep(100);
    await queue.publish('key', { n: 2500 });
    const holder = new Holder(queue, { prefetch: 3000 });
    await eventually(() => holder.deliveries.length === 2501);
    expect(holder.numbers.at(-1)).toBe(2500);
  });

  it('receives messages in their original order after thousands of delayed nacks', async () => {
    const queue = open();
    await Promise.all(Array.from({ length: 2500 }, (_, n) => queue.publish('key', { n })));
    const first = new Holder(queue, { prefetch: 2500 });
    await eventually(() => first.deliveries.length === 2500);
    const nacked = first.held.toReversed().map((delivery) => delivery.nack({ delay: 50 }));
    first.subscription.unsubscribe();
    await Promise.all(nacked);
    await sleep(100);
    const holder = new Holder(queue, { prefetch: 3000 });
    await eventually(() => holder.deliveries.length === 2500);
    expect(holder.attempts).toEqual(Array.from({ length: 2500 }, (_, n) => [n, 2]));
  });
});

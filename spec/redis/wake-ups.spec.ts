import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisBackend, RedisBackendOptions } from 'sluice/redis';
import { Credit, withCredit } from '../../src/bridge/credit.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { isAtLeast } from '../support/servers/server-version.js';

/** In milliseconds: no consumer looks by itself before the test has failed, unless another wakes it up. */
const NEVER = 600_000;

jest.mock('../../src/redis/listener.js', () => ({
  ...jest.requireActual('../../src/redis/listener.js'),
  LONGEST_WAIT: 600_000,
}));

describeWithRedis('A consumer that waits', () => {
  retryOnce();
  const suite = new RedisSuite();

  const open = (options: Partial<RedisBackendOptions> = {}) => suite.open({ lease: 2 * NEVER, ...options });

  /** How many consumers of the group wait on the server. */
  const waiting = async () =>
    String(await suite.run('CLIENT', 'LIST'))
      .split('\n')
      .filter((line) => / flags=\S*b/.test(line)).length;

  const waits = (count = 1) => eventually(async () => (await waiting()) === count);

  /** A consumer in a backend of its own, which waits. */
  const idle = async (prefetch = 10, count = 1) => {
    const holder = new Holder(open(), { prefetch });
    await waits(count);
    return holder;
  };

  /** A backend whose consumer holds message 1. */
  const holding = async (prefetch = 1) => {
    const queue = open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue, { prefetch });
    await eventually(() => holder.deliveries.length === 1);
    return { queue, holder };
  };

  /** Has the one that got message 1 nack it, so that it knows when that comes again. */
  const delayed = async (holder: Holder) => {
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).nack({ delay: 300 })).toBe(true);
  };

  const comes = (holder: Holder, n = 1) => eventually(() => holder.numbers.includes(n));

  it('is served at once with what is published', async () => {
    const holder = await idle();
    await open().publish('key', { n: 1 });
    await comes(holder);
  });

  it('is served in time with what another publishes with a delay', async () => {
    const holder = await idle();
    await open().publish('key', { n: 1 }, { delay: 100 });
    await comes(holder);
  });

  describe('if it pauses', () => {
    /** A subscriber beside another one of its process, which gets what there is. */
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

    it('is told that nothing is on its way, though another one of its process waits', async () => {
      const { pause, becomesQuiet } = await besideAnother();
      pause();
      await becomesQuiet();
      await waits();
    });

    it('is told that nothing is on its way before another one of its process waits', async () => {
      await open().publish('key', { n: 1 });
      const { becomesQuiet } = await besideAnother((pause) => pause());
      await becomesQuiet();
      await waits();
    });
  });

  it('gets a message in time that becomes due earlier than it knows', async () => {
    const publisher = open();
    await publisher.publish('key', { n: 1 }, { delay: 60_000 });
    const holder = await idle();
    await publisher.publish('key', { n: 2 }, { delay: 200 });
    await publisher.publish('key', { n: 3 }, { delay: 100 });
    await comes(holder, 3);
    await comes(holder, 2);
    expect(holder.numbers).toEqual([3, 2]);
  });

  it('is not woken for a message that becomes due later than it knows', async () => {
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
    ['gives back by leaving', ({ subscription }) => subscription.unsubscribe()],
    ['gives back by closing', (_holder, queue) => queue.close()],
  ])('is served in time with what another consumer, which then leaves, %s', async (_how, giveBack) => {
    const { queue, holder } = await holding();
    const other = await idle();
    const given = giveBack(holder, queue);
    holder.subscription.unsubscribe();
    await given;
    await comes(other);
  });

  it('is served in time with what another consumer nacks with a delay, and is too busy to take then', async () => {
    const { queue, holder } = await holding(1);
    const other = await idle();
    const busy = queue.publish('key', { n: 2 });
    await busy;
    await comes(other, 2);
    await holder.of(1).nack({ delay: 300 });
    // It waits until the message becomes due, and then has no credit any more.
    await waits(2);
    await suite.run('XADD', suite.name, '*', 'key', 'key', 'payload', '{"n":3}');
    await suite.run('XADD', suite.name, '*', 'key', 'key', 'payload', '{"n":4}');
    await eventually(() => [...holder.numbers, ...other.numbers].filter((n) => n >= 3).length === 2);
    await eventually(() => [...holder.attempts, ...other.attempts].some(([n, attempt]) => n === 1 && attempt === 2));
  });

  it.each<[how: string, leave: (holder: Holder, queue: RedisBackend) => unknown]>([
    ['unsubscribes', ({ subscription }) => subscription.unsubscribe()],
    ['closes', (_holder, queue) => queue.close()],
    ['has taken all that it may hold', () => open().publish('key', { n: 99 })],
  ])('takes over the watch of another that %s', async (_how, stop) => {
    const first = open();
    const watcher = new Holder(first, { prefetch: 1 });
    await waits(1);
    const publisher = open();
    await publisher.publish('key', { n: 1 }, { delay: 4000 });
    // It has received the wake-up by now, and is the only one that knows when to look.
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
  ])('waits in place of an expired consumer with nothing in flight for %s with a delay', async (_what, prepare) => {
    const { proxy, url } = await suite.proxy();
    // The server wakes the consumer that has waited longest: the other one begins again and again.
    const watcher = new Holder(open({ url }), { prefetch: 1 });
    await waits(1);
    const other = new Holder(open({ lease: 500 }));
    await waits(2);
    await prepare(watcher);
    // It alone has been told when to look, and does not live to see it.
    proxy.stall();
    await proxy.refuse();
    proxy.cut();
    await comes(other);
  });

  it('takes over the watch of another that leaves before the answer comes which tells it to wait', async () => {
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
    // The one that has waited for longer is told.
    await open().publish('key', { n: 1 }, { delay: 500 });
    await waits(1);
    leaving.subscription.unsubscribe();
    proxy.resume();
    await comes(other);
  });

  it('hears of each group what concerns it', async () => {
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
      // The server does not tell those that wait: the consumer finds out when it waits again.
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

  it('stops when its last subscriber leaves, and takes nothing any more', async () => {
    const holder = await idle();
    holder.subscription.unsubscribe();
    await waits(0);
    await open().publish('key', { n: 1 });
    expect(await suite.pending()).toEqual([]);
  });

  it('does not begin to wait when its last subscriber has left before there was a connection for that', async () => {
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

  it.each(['never comes to be', 'is lost'])(
    'asks now and then while the connection that it waits on %s, and closes promptly',
    async (how) => {
      const { proxy, url } = await suite.proxy();
      const queue = open({ url });
      await queue.stats();
      if (how === 'never comes to be') await proxy.refuse();
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
      // It has said shutDown: both have gone back.
      expect((await suite.pending()).map(([, consumer]) => consumer)).toEqual(['sluice:parked', 'sluice:parked']);
    },
  );

  it('waits on its connection again, once there is one', async () => {
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

  it('takes what was published in the turn in which its last subscriber left, and gives it back untouched', async () => {
    const holder = await idle();
    const queue = open();
    await Promise.all([queue.publish('key', { n: 1 }), sleep(1).then(() => holder.subscription.unsubscribe())]);
    const next = await idle(10, 0).catch(() => undefined);
    expect(next).toBeDefined();
    await eventually(async () => (await queue.stats()).unfinished === 1);
    await eventually(() => [...holder.attempts, ...(next?.attempts ?? [])].length > 0);
  });

  it('is given delayed messages in the order of their times: with one delay, in the order of the calls', async () => {
    const queue = open();
    await Promise.all(Array.from({ length: 1500 }, (_, n) => queue.publish('key', { n }, { delay: 100 })));
    const holder = new Holder(queue, { prefetch: 3000 });
    await eventually(() => holder.deliveries.length === 1500);
    expect(holder.numbers).toEqual(Array.from({ length: 1500 }, (_, n) => n));
  });

  it('is given what is published after thousands have fallen due after all of them', async () => {
    const queue = open();
    await Promise.all(Array.from({ length: 2500 }, (_, n) => queue.publish('key', { n }, { delay: 1 })));
    await sleep(100);
    await queue.publish('key', { n: 2500 });
    const holder = new Holder(queue, { prefetch: 3000 });
    await eventually(() => holder.deliveries.length === 2501);
    expect(holder.numbers.at(-1)).toBe(2500);
  });

  it('gives what thousands of nacks have delayed its old order back', async () => {
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

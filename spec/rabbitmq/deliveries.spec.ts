import { setTimeout as sleep } from 'node:timers/promises';
import { LONGEST_DELAY } from '../../src/rabbitmq/delays.js';
import { queueNames } from '../../src/rabbitmq/names.js';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/**
 * In milliseconds. Longer than the longest delay in these tests, and the interval of the broker's
 * check for consumer timeouts.
 */
const TICK = 300;

describeWithRabbitMq('Deliveries of a RabbitMqBackend', () => {
  retryOnce();
  const suite = new RabbitMqSuite({ advanced: { channel_tick_interval: String(TICK) } });

  const received = (holder: Holder, count: number) =>
    eventually(
      () => holder.deliveries.length === count,
      () => holder.attempts,
    );
  const publish = (numbers: readonly number[], queue = suite.open()) =>
    Promise.all(numbers.map((n) => queue.publish('key', { n })));
  const emptied = (queue = suite.open()) =>
    eventually(
      async () => (await queue.stats()).unfinished === 0,
      () => queue.stats(),
    );

  it('are settled once, in any order, and a second settlement does not close the channel', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const holder = new Holder(queue, { prefetch: 9 });
    await publish(upTo(9), queue);
    await received(holder, 9);
    const hows = ['ack', 'reject', 'ack', 'release', 'nack', 'ack', 'ack', 'reject', 'ack'] as const;
    const order = [9, 2, 8, 1, 4, 7, 5, 3, 6];
    const once = await Promise.all(order.map((n) => holder.of(n)[hows[n - 1] ?? 'ack']()));
    expect(once).toEqual(order.map(() => true));
    const twice = await Promise.all(
      holder.deliveries.slice(0, 9).flatMap((delivery) => [delivery.ack(), delivery.nack(), delivery.reject()]),
    );
    expect(twice).toEqual(Array(27).fill(false));
    await received(holder, 11);
    expect(holder.attempts.slice(9)).toEqual([
      // This process released the message, so it does not count the attempt.
      [4, 1],
      [5, 2],
    ]);
    for (const n of [5, 4]) expect(await holder.of(n).ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(logger.warnings).toHaveLength(27);
    expect(suite.server.log).not.toContain('unknown delivery tag');
  });

  it('of a lost connection resolve settlements with false and log one warning each', async () => {
    const { proxy, url } = await suite.proxy();
    const logger = recordingLogger();
    const queue = suite.open({ url, logger });
    const holder = new Holder(queue, { prefetch: 5 });
    await publish(upTo(5));
    await received(holder, 5);
    const old = [...holder.deliveries];
    proxy.cut();
    await received(holder, 10);
    const warned = logger.warnings.length;
    expect(old.map(({ settled }) => settled)).toEqual(Array(5).fill('retried'));
    expect(await Promise.all(old.map((delivery) => delivery.ack()))).toEqual(Array(5).fill(false));
    expect(logger.warnings.length - warned).toBe(5);
    expect(holder.attempts.slice(5)).toEqual(upTo(5).map((n) => [n, 2]));
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual(Array(5).fill(true));
    await emptied(queue);
  });

  it.each(['queue', 'again'] as const)('continue when the broker silently removes the consumer: %s', async (of) => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const holder = new Holder(queue, { prefetch: 5 }, (delivery) => void delivery.ack());
    await publish([1], queue);
    await received(holder, 1);
    const name = queueNames(suite.name).group('default')[of];
    const consumers = (await suite.server.run('list_consumers')).split('\n').map((line) => line.split('\t'));
    const [, channel, tag] = consumers.find(([consumed]) => consumed === name) ?? [];
    const lookup = `{ok, Q} = rabbit_amqqueue:lookup(rabbit_misc:r(<<"/">>, queue, <<"${name}">>))`;
    const cancel = `rabbit_fifo:make_checkout({<<"${tag}">>, rabbit_misc:string_to_pid("${channel}")}, cancel, #{})`;
    await suite.server.run('eval', `${lookup}, {ok, _, _} = ra:process_command(amqqueue:get_pid(Q), ${cancel}).`);
    const consuming = async () =>
      (await suite.server.use((connection) => connection.queueDeclare({ queue: name, passive: true }))).consumerCount;
    expect(await consuming()).toBe(0);
    await eventually(() => logger.warnings.length > 0);
    expect(logger.warnings).toEqual([expect.stringContaining('it is declared again')]);
    // Until its channel is closed, the other of the two queues is still consumed on it. Messages
    // delivered there are requeued with one attempt counted.
    await eventually(async () => (await consuming()) === 1);
    await publish([2], queue);
    await received(holder, 2);
    expect(holder.attempts).toEqual([
      [1, 1],
      [2, 1],
    ]);
    await emptied(queue);
  });

  it('do not exceed the prefetch when messages are nacked with a delay', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 3 });
    let most = 0;
    const busy = new Holder(queue, { prefetch: 3 }, async (delivery) => {
      most = Math.max(most, busy.held.length);
      await sleep(1);
      await (delivery.attempt < 3 ? delivery.nack({ delay: delivery.attempt * 7 }) : delivery.ack());
    });
    await publish(upTo(60), queue);
    await eventually(() => holder.held.length === 3);
    await eventually(async () => (await queue.stats()).unfinished <= 6);
    expect(most).toBe(3);
    expect(holder.deliveries).toHaveLength(3);
    // Messages prefetched by the full consumer arrive once it has credit.
    await eventually(async () => {
      await Promise.all(holder.held.map((delivery) => delivery.ack()));
      return (await queue.stats()).unfinished === 0;
    });
    const done = [busy, holder].flatMap(({ deliveries }) => deliveries).filter(({ settled }) => settled === 'acked');
    expect(new Set(done.map(({ payload }) => (payload as { n: number }).n))).toEqual(new Set(upTo(60)));
  });

  it('start with messages whose nack delay has ended, also for a later subscriber', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 2 });
    await publish(upTo(5), queue);
    await received(holder, 2);
    await Promise.all([holder.of(1).nack({ delay: 40 }), holder.of(2).nack({ delay: 20 })]);
    holder.subscription.unsubscribe();
    await eventually(async () => (await queue.stats()).ready === 5);
    const other = new Holder(suite.open(), { prefetch: 9 });
    await received(other, 5);
    expect(other.numbers.slice(0, 2).toSorted()).toEqual([1, 2]);
    expect(other.numbers.slice(2)).toEqual([3, 4, 5]);
  });

  it('reach another consumer if a full subscriber has prefetched them', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 1 });
    await publish([1], queue);
    await received(holder, 1);
    await holder.of(1).nack({ delay: 20 });
    await received(holder, 2);
    await publish([2], queue);
    await eventually(async () => (await queue.stats()).unfinished === 2);
    const idle = new Holder(suite.open(), { prefetch: 1 });
    await holder.of(1).ack();
    await eventually(() => [...idle.numbers, ...holder.numbers].includes(2));
  });

  it('continue when the queues of the group are deleted, which is logged', async () => {
    const logger = recordingLogger();
    const warn = jest.spyOn(logger, 'warn');
    const queue = suite.open({ logger });
    const holder = new Holder(queue);
    await publish([1], queue);
    await received(holder, 1);
    const channel = await suite.channel();
    const { queue: group, again } = suite.names.group('default');
    await channel.queueDelete(group);
    await eventually(async () => (await suite.length(group)) === 0);
    await eventually(() => holder.of(1).settled === 'retried');
    expect(logger.warnings.filter((warning) => warning.includes('declared again'))).toHaveLength(1);
    expect(warn).toHaveBeenCalledWith(expect.stringContaining('declared again'), {
      queue: suite.name,
      group: 'default',
    });
    expect(await holder.of(1).ack()).toBe(false);
    await publish([2], queue);
    await received(holder, 2);
    await channel.queueDelete(again);
    await eventually(async () => (await suite.length(again)) === 0);
    await received(holder, 3);
    expect(await holder.of(2).nack({ delay: 10 })).toBe(true);
    await received(holder, 4);
    expect(await holder.of(2).ack()).toBe(true);
    await emptied(queue);
  });

  it('continue in every group when the exchange is deleted', async () => {
    const groups = ['a', 'b'];
    const queue = suite.open({ groups });
    const holders = groups.map((group) => new Holder(queue, { group }));
    await publish([1], queue);
    for (const holder of holders) await received(holder, 1);
    await (await suite.channel()).exchangeDelete({ exchange: suite.names.exchange });
    await publish([2, 3], queue);
    for (const holder of holders) {
      await received(holder, 3);
      expect(holder.attempts).toEqual(upTo(3).map((n) => [n, 1]));
    }
  });

  it('are redelivered after a consumer timeout, which is logged as an error', async () => {
    const limit = (milliseconds: number) =>
      suite.server.run('eval', `application:set_env(rabbit, consumer_timeout, ${milliseconds}).`);
    const logger = recordingLogger();
    await limit(600);
    try {
      const queue = suite.open({ logger });
      const holder = new Holder(queue, { prefetch: 2 });
      await publish([1, 2], queue);
      await received(holder, 2);
      expect(await holder.of(2).ack()).toBe(true);
      await eventually(() => logger.errors.length === 1);
      expect(logger.errors[0]).toMatch(
        /"consumer_timeout".*above prefetch ÷ concurrency × the time that a handler takes.*prefetch \(here 2\)/,
      );
      await eventually(() => holder.held.length === 1 && holder.of(1).attempt > 1);
      expect(await holder.of(1).ack()).toBe(true);
      const [late] = holder.deliveries;
      expect([late?.settled, await late?.ack()]).toEqual(['retried', false]);
      await emptied(queue);
      expect(holder.error).toBeUndefined();
    } finally {
      await limit(1_800_000);
    }
  });

  it('use channels of their own and leave none behind', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const channels = async () =>
      (await suite.rows('list_connections', 'client_properties', 'channels')).filter(([who]) =>
        who?.includes(suite.name),
      );
    await publish([1], queue);
    for (let round = 0; round < 40; round++) {
      const holders = upTo(5).map((n) => new Holder(queue, { prefetch: n }));
      if (round % 4 === 0) await eventually(() => holders.some(({ held }) => held.length > 0));
      for (const { subscription } of holders) subscription.unsubscribe();
    }
    const last = new Holder(queue);
    await received(last, 1);
    await eventually(async () => {
      const counts = (await channels()).map(([, count]) => Number(count));
      return counts.length === 2 && counts.toSorted().join() === '1,1';
    }, channels);
    expect(proxy.connections).toBe(2);
    expect(proxy.accepted).toBe(2);
    expect(await last.of(1).ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('of delayed messages arrive in every group once they are due, in due order', async () => {
    const groups = ['a', 'b'];
    const queue = suite.open({ groups });
    const times = new Map<number, number>();
    const holders = groups.map(
      (group) =>
        new Holder(queue, { group, prefetch: 99 }, (delivery) =>
          times.set(numberOf(delivery.payload), performance.now()),
        ),
    );
    // This declares what delays need on the broker, so that no delay ends before it is sent.
    await queue.publish('key', { n: 98 }, { delay: 700 });
    const delays = [700, 1, 15, 16, 17, 33, 250, 127.5, 0.5, 500];
    const before = new Map<number, number>();
    await Promise.all(
      delays.map((delay, at) => {
        before.set(at, performance.now());
        return queue.publish('key', { n: at }, { delay });
      }),
    );
    await queue.publish('key', { n: 99 });
    for (const holder of holders) await received(holder, delays.length + 2);
    for (const [at, delay] of delays.entries())
      expect((times.get(at) ?? 0) - (before.get(at) ?? 0)).toBeGreaterThanOrEqual(delay - 1);
    for (const holder of holders) {
      expect(holder.numbers.filter((n) => [6, 9, 0].includes(n))).toEqual([6, 9, 0]);
      expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).not.toContain(false);
    }
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('can be delayed by up to 49 days and stay in flight if a delay is too long', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    for (const delay of [LONGEST_DELAY + 1, Number.POSITIVE_INFINITY, -1, Number.NaN])
      await expect(queue.publish('key', { n: 0 }, { delay })).rejects.toThrow(RangeError);
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: LONGEST_DELAY });
    await received(holder, 1);
    await expect(holder.of(1).nack({ delay: LONGEST_DELAY + 1 })).rejects.toThrow(RangeError);
    expect(holder.of(1).settled).toBe(false);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 2 });
    expect(await holder.of(1).nack({ delay: LONGEST_DELAY })).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 2 });
  });
});

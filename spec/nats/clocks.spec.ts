import { setTimeout as sleep } from 'node:timers/promises';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { NatsProxy } from '../support/servers/nats-proxy.js';

/** By how much a clock is set: far longer than any delay here, also on a busy machine. */
const STEP = 60_000;
const DELAY = 2000;
const FAR_TOO_LATE = 40_000;
/** How much earlier than its delay a timer may fire, due to rounding. */
const ROUNDING = 5;

describeWithNats('A delayed message, when the clock of the server is set', () => {
  retryOnce();
  const suite = new NatsSuite();

  const start = async () => {
    const proxy = await NatsProxy.start(suite.server.port);
    suite.ending(() => proxy.stop());
    return { proxy, url: `nats://127.0.0.1:${proxy.port}` };
  };

  /** Later messages and responses have the time of a clock that was set. */
  const set = (proxy: NatsProxy, by: number) => {
    const since = Date.now();
    proxy.shiftTimes((time) => (time < since ? time : time + by));
  };

  /** Notes how long each message took from its publish to its delivery. */
  const watch = (queue: ReturnType<NatsSuite['open']>) => {
    const from = new Map<number, number>();
    const times = new Map<number, number>();
    const holder = new Holder(queue, { prefetch: 100 }, (delivery) => {
      const { n } = delivery.payload as { n: number };
      times.set(n, performance.now() - (from.get(n) ?? 0));
      void delivery.ack();
    });
    const publish = async (publisher: ReturnType<NatsSuite['open']>, n: number, delay: number) => {
      from.set(n, performance.now());
      await publisher.publish('key', { n }, { delay });
    };
    return { holder, times, publish };
  };

  const expectInTime = (times: ReadonlyMap<number, number>, numbers: readonly number[]) => {
    const early = numbers.filter((n) => (times.get(n) ?? 0) < DELAY - ROUNDING);
    const late = numbers.filter((n) => (times.get(n) ?? Number.POSITIVE_INFINITY) > FAR_TOO_LATE);
    expect({ early, late }).toEqual({ early: [], late: [] });
  };

  it.each([STEP, -STEP])('arrives after its delay: published after the clock was set by %d ms', async (by) => {
    const { proxy, url } = await start();
    const queue = suite.open({ url });
    const { times, publish } = watch(queue);
    await publish(queue, 0, 100);
    await eventually(() => times.has(0));
    set(proxy, by);
    await publish(queue, 1, DELAY);
    await eventually(() => times.has(1));
    expectInTime(times, [1]);
  });

  it.each([STEP, -STEP])('arrives after its delay: the clock is set by %d ms during the delay', async (by) => {
    const { proxy, url } = await start();
    const queue = suite.open({ url });
    const { times, publish } = watch(queue);
    await publish(queue, 0, 100);
    await eventually(() => times.has(0));
    await publish(queue, 1, DELAY);
    // The mover requeued it for the rest of its delay.
    await eventually(async () => {
      const { num_ack_pending } = await (await suite.manager()).consumers.info(
        suite.names.delayedStream,
        suite.names.mover,
      );
      return num_ack_pending === 1;
    });
    await sleep(200);
    set(proxy, by);
    // Another message shows the new time.
    await publish(queue, 2, DELAY);
    await eventually(() => times.has(1) && times.has(2));
    expectInTime(times, [1, 2]);
  });

  it.each([STEP, -STEP])(
    'arrives after its delay with several movers: published after the clock was set by %d ms',
    async (by) => {
      const { proxy, url } = await start();
      const queue = suite.open({ url });
      const publishers = upTo(3).map(() => suite.open({ url }));
      const { times, publish } = watch(queue);
      await Promise.all(publishers.map((publisher) => publish(publisher, 0, 100)));
      await eventually(() => times.has(0));
      set(proxy, by);
      const numbers = upTo(30);
      for (const n of numbers) {
        await publish(publishers[n % 3] as (typeof publishers)[0], n, DELAY);
        await sleep(20);
      }
      await eventually(() => numbers.every((n) => times.has(n)));
      expectInTime(times, numbers);
    },
  );

  it.each([STEP, -STEP])(
    'arrives after its delay if the clock of its server is %d ms off the others of the cluster',
    async (by) => {
      const { proxy, url } = await start();
      proxy.shiftTimes(
        (time) => time + by,
        (time) => time,
      );
      const queue = suite.open({ url });
      const { times, publish } = watch(queue);
      const numbers = upTo(3);
      // The queue serves its consumer.
      await queue.publish('key', { n: 0 });
      await eventually(() => times.has(0));
      for (const n of numbers) await publish(queue, n, DELAY);
      await eventually(() => numbers.every((n) => times.has(n)));
      expectInTime(times, numbers);
    },
  );

  it('arrives after its delay if no process was running meanwhile', async () => {
    const publisher = suite.open();
    const queue = suite.open();
    const from = performance.now();
    await publisher.publish('key', { n: 1 }, { delay: DELAY });
    await publisher.close();
    await sleep(500);
    const { times } = watch(queue);
    await eventually(() => times.has(1));
    expect(performance.now() - from).toBeGreaterThan(DELAY - ROUNDING);
  });
});

describeWithNats('A NATS account that allows one consumer per stream', () => {
  const suite = new NatsSuite({
    config: {
      accounts: '{ A: { jetstream: { max_consumers: 1 }, users: [{ user: a, password: a }] } }',
      no_auth_user: 'a',
    },
  });

  it('delivers delayed messages', async () => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 }, { delay: 100 });
    await eventually(() => holder.numbers.includes(1));
  });
});

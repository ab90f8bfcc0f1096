import { readFile } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsBackend } from 'sluice/nats';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { keptLeases } from '../support/provider-leases.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const LEASE = 800;

/** Blocks the event loop for some milliseconds. */
function block(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

describeWithNats('The lease of a delivery on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  const publish = async (queue: NatsBackend, ...numbers: number[]) => {
    for (const n of numbers) await queue.publish('key', { n });
  };

  /** A consumer with messages in flight whose connection is cut. */
  const dead = async (...numbers: number[]) => {
    const { proxy, url } = await suite.proxy();
    const logger = recordingLogger();
    const queue = suite.open({ url, lease: LEASE, logger });
    await publish(queue, ...numbers);
    const holder = new Holder(queue, { prefetch: numbers.length });
    await eventually(() => holder.deliveries.length === numbers.length);
    await proxy.refuse();
    proxy.cut();
    return { proxy, queue, holder, logger };
  };

  keptLeases(suite, LEASE);

  it('expires after a cut connection, and another consumer gets the messages, in order and as the next attempt', async () => {
    const { holder } = await dead(1, 2, 3);
    const other = new Holder(suite.open({ lease: LEASE }));
    await eventually(() => other.deliveries.length === 3);
    expect(other.attempts).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
    ]);
    await eventually(() => holder.held.length === 0);
    expect(await Promise.all(other.held.map((delivery) => delivery.ack()))).toEqual([true, true, true]);
  });

  it.each(['ack', 'nack', 'release', 'reject'] as const)(
    'resolves a late %s() to false, with a warning and without effect',
    async (how) => {
      const { proxy, holder, logger } = await dead(1);
      const other = new Holder(suite.open({ lease: LEASE }));
      const lost = holder.of(1);
      await eventually(() => other.deliveries.length === 1 && lost.settled === 'retried');
      const counted = lost[how]();
      await proxy.accept();
      expect(await counted).toBe(false);
      expect(logger.warnings.filter((message) => /could not be|changed nothing/.test(message))).toHaveLength(1);
      expect(await other.of(1).ack()).toBe(true);
    },
  );

  it('counts the attempts of consumers that died', async () => {
    await dead(1);
    for (const attempt of [2, 3]) {
      const { proxy, url } = await suite.proxy();
      const holder = new Holder(suite.open({ url, lease: LEASE }));
      await eventually(() => holder.deliveries.length === 1);
      expect(holder.of(1).attempt).toBe(attempt);
      await proxy.refuse();
      proxy.cut();
    }
    const last = new Holder(suite.open({ lease: LEASE }));
    await eventually(() => last.deliveries.length === 1);
    expect(last.of(1).attempt).toBe(4);
  });

  it('redelivers hundreds of messages of a dead consumer, in order', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, lease: 1000 });
    await Promise.all(upTo(700).map((n) => queue.publish('key', { n })));
    const holder = new Holder(queue, { prefetch: 600 });
    await eventually(() => holder.deliveries.length === 600);
    await proxy.refuse();
    proxy.cut();
    await sleep(1500);
    const other = new Holder(suite.open({ lease: 1000 }), { prefetch: 1000 });
    await eventually(() => other.deliveries.length === 700);
    expect(other.numbers.filter((n) => n <= 600)).toEqual(upTo(600));
  });

  it('does not settle a message that another consumer has in flight', async () => {
    const queue = suite.open({ lease: LEASE });
    await publish(queue, 1, 2);
    const holder = new Holder(queue, { prefetch: 1 });
    await eventually(() => holder.deliveries.length === 1);
    // In the callback of a read: no timer runs before the settlements are sent.
    const counted = await new Promise<boolean>((resolve) => {
      readFile(__filename, () => {
        resolve(holder.of(1).ack());
        block(2 * LEASE);
      });
    });
    expect(counted).toBe(false);
    holder.subscription.unsubscribe();
    const other = new Holder(suite.open({ lease: LEASE }), {}, (delivery) => void delivery.nack({ delay: 500 }));
    await eventually(() => other.numbers.filter((n) => n === 1).length >= 3);
    expect(await suite.length()).toBe(2);
  });

  it('lets a consumer that blocked for too long resume when its messages are redelivered', async () => {
    const queue = suite.open({ lease: LEASE });
    const holder = new Holder(queue, { prefetch: 2 });
    await publish(queue, 1, 2, 3);
    await eventually(() => holder.deliveries.length === 2);
    block(2 * LEASE);
    await eventually(() => holder.held.length === 2 && holder.deliveries.length >= 4);
    while ((await queue.stats()).unfinished > 0) {
      await Promise.all(holder.held.map((delivery) => delivery.ack()));
      await sleep(10);
    }
    expect(new Set(holder.numbers)).toEqual(new Set([1, 2, 3]));
  });
});

describeWithNats('The lease of a group on NATS', () => {
  const suite = new NatsSuite();

  it.each([
    [700, 5000, /had a shorter lease\. It is now 5000 ms/],
    [5000, 700, /keeps its lease of 5000 ms, longer than the 700 ms of this process/],
  ])(
    'is the longest of all backends, and a backend with another one warns (%i ms, then %i ms)',
    async (first, second, warning) => {
      await suite.open({ lease: first }).stats();
      const logger = recordingLogger();
      await suite.open({ lease: second, logger, groups: ['default', 'other'] }).stats();
      expect((await suite.group()).config.ack_wait).toBe(5_000_000_000);
      expect(logger.warnings).toEqual([expect.stringMatching(warning)]);
    },
  );

  it('is kept by a consumer with a longer one beside a consumer with a shorter one', async () => {
    const queue = suite.open({ lease: 6000 });
    const holder = new Holder(queue, { prefetch: 1 });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const other = new Holder(suite.open({ lease: LEASE }));
    await sleep(3 * LEASE);
    expect(other.numbers).toEqual([]);
    expect(await holder.of(1).ack()).toBe(true);
  });

  it('may have a fraction of a millisecond', async () => {
    const queue = suite.open({ lease: 333.3333333 });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const logger = recordingLogger();
    await suite.open({ lease: 333.3333333, logger }).stats();
    expect(logger.warnings).toEqual([]);
  });
});

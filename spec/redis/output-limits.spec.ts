import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

/**
 * The consumer loses a few connections to find the limit. One loss per few messages would be more.
 */
const FEW = 8;

describeWithRedis('RedisBackend when its server drops connections with more than 1 MB to read', () => {
  const suite = new RedisSuite({ config: { 'client-output-buffer-limit': 'normal 1mb 0 0' } });

  const open = () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const losses = () => logger.debugs.filter((line) => line.includes('lost the connection')).length;
    return { queue, logger, losses };
  };

  const textOf = (kilobytes: number) => 'x'.repeat(kilobytes * 1000);

  it.each<[what: string, sizeOf: (n: number) => number]>([
    ['of equal size', () => 100],
    ['of which some are nearly too large', (n) => (n % 3 === 0 ? 900 : 1)],
  ])('reads smaller batches and loses no more connections: messages %s', async (_what, sizeOf) => {
    const { queue, logger, losses } = open();
    const publisher = suite.open();
    const publish = (numbers: readonly number[]) =>
      Promise.all(numbers.map((n) => publisher.publish('key', { n, text: textOf(sizeOf(n)) })));
    await queue.stats();
    await publish(upTo(40));
    const holder = new Holder(queue, { prefetch: 100 });
    await eventually(() => holder.deliveries.length >= 40);
    expect(losses()).toBeLessThan(FEW);
    const before = losses();
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    await publish(upTo(40));
    await eventually(() => holder.deliveries.length >= 80);
    await Promise.all(holder.held.map((delivery) => delivery.nack()));
    await eventually(() => holder.deliveries.length >= 120);
    expect(losses()).toBe(before);
    expect(holder.attempts.filter(([, attempt]) => attempt === 1)).toHaveLength(80);
    expect(holder.attempts.filter(([, attempt]) => attempt === 2)).toHaveLength(40);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect(logger.errors).toEqual([]);
  });

  it.each(['before', 'while'])(
    'quarantines a message that never fits and continues: published %s the consumer waits',
    async (when) => {
      const { queue, logger, losses } = open();
      await queue.stats();
      const subscribe = () => new Holder(queue, { prefetch: 100 }, (delivery) => void delivery.ack());
      let holder = when === 'while' ? subscribe() : undefined;
      if (when === 'while')
        await eventually(async () => /blocked_clients:[1-9]/.test(String(await suite.run('INFO', 'clients'))));
      await queue.publish('key', { n: 1 });
      await queue.publish('key', { n: 2, text: textOf(3000) });
      await Promise.all(upTo(20).map((n) => queue.publish('key', { n: n + 2, text: textOf(100) })));
      holder ??= subscribe();
      const { deliveries } = holder;
      await eventually(
        () => deliveries.length === 21,
        () => [holder?.attempts, logger.warnings.length, logger.errors],
      );
      expect(holder.numbers.toSorted((a, b) => a - b)).toEqual([1, ...upTo(20).map((n) => n + 2)]);
      await eventually(async () => (await queue.stats()).unfinished === 0);
      const [id] = (await suite.run('HKEYS', suite.key('aside'))) as string[];
      expect(logger.errors).toEqual([expect.stringContaining(String(id))]);
      expect(logger.errors[0]).toContain(suite.key('aside'));
      expect(logger.errors[0]).toContain(suite.name);
      expect(losses()).toBeLessThan(FEW);
      expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    },
  );
});

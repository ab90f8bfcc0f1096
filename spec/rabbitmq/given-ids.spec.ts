import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/** An id in the form that Sluice generates. A forwarded message may have one. */
const FORWARDED = '0123456789abcdef-1';

describeWithRabbitMq('A RabbitMQ message with an id from its publisher', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const received = (holder: Holder, count: number) =>
    eventually(
      () => holder.deliveries.length === count,
      () => holder.attempts,
    );

  it.each(['order 42', FORWARDED, 'ü'.repeat(127)])(
    'is delivered with this id as often as it was published: %s',
    async (id) => {
      const logger = recordingLogger();
      const queue = suite.open({ logger });
      await Promise.all(upTo(3).map((n) => queue.publish('key', { n }, { id })));
      await queue.publish('key', { n: 3 }, { id });
      const holder = new Holder(queue, { prefetch: 9 });
      await received(holder, 4);
      expect(holder.numbers).toEqual([1, 2, 3, 3]);
      expect(new Set(holder.deliveries.map((delivery) => delivery.id))).toEqual(new Set([id]));
      expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual(Array(4).fill(true));
      expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
      expect(logger.warnings).toEqual([]);
    },
  );

  it('keeps the id when it is redelivered, with or without a delay', async () => {
    const queue = suite.open();
    await Promise.all(upTo(2).map((n) => queue.publish('key', { n }, { id: 'order', delay: 20 })));
    // While they move from one queue to another, they may be counted twice.
    await eventually(async () => {
      const { unfinished } = await queue.stats();
      expect(unfinished).toBeGreaterThanOrEqual(2);
      return unfinished === 2;
    });
    const holder = new Holder(queue, { prefetch: 9 });
    await received(holder, 2);
    await Promise.all([holder.of(1).nack({ delay: 20 }), holder.of(2).nack()]);
    await received(holder, 4);
    expect(holder.attempts.toSorted()).toEqual([
      [1, 1],
      [1, 2],
      [2, 1],
      [2, 2],
    ]);
    expect(holder.deliveries.map(({ id }) => id)).toEqual(Array(4).fill('order'));
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('is delivered once if it was stored twice because its confirm was lost', async () => {
    const queue = suite.open();
    await queue.stats();
    const headers = { 'sluice-published-at': Date.now(), 'sluice-unique-id': FORWARDED };
    for (const _ of upTo(2))
      await suite.add({ type: 'key', messageId: 'order', contentEncoding: 'utf-8', headers }, Buffer.from('{"n":1}'));
    await queue.publish('key', { n: 2 }, { id: 'order' });
    const holder = new Holder(queue, { prefetch: 3 });
    await eventually(() => holder.numbers.includes(2));
    expect(holder.numbers).toEqual([1, 2]);
    expect(holder.deliveries.map(({ id }) => id)).toEqual(['order', 'order']);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it('is sorted by publish order within one millisecond, not by its id', async () => {
    const queue = suite.open();
    jest.spyOn(Date, 'now').mockReturnValue(1_700_000_000_000);
    await Promise.all(upTo(5).map((n) => queue.publish('key', { n }, { id: `${9 - n}` })));
    jest.restoreAllMocks();
    const first = new Holder(queue, { prefetch: 5 });
    await received(first, 5);
    for (const n of [4, 2, 5]) void first.of(n).nack();
    first.subscription.unsubscribe();
    const second = new Holder(queue, { prefetch: 5 });
    await received(second, 5);
    expect(second.numbers).toEqual(upTo(5));
  });
});

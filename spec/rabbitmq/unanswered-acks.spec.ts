import type { QueueBackend } from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('An ack in transit when the connection to RabbitMQ breaks', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  /** Publishes messages of another program, all with the same id and time. */
  const addForeign = async (numbers: readonly number[]) => {
    const headers = { 'sluice-published-at': Date.now() };
    for (const n of numbers)
      await suite.add(
        { type: 'key', messageId: 'shared', contentEncoding: 'utf-8', headers },
        Buffer.from(JSON.stringify({ n })),
      );
  };

  const started = async (options: { readonly prefetch: number }, onNext?: ConstructorParameters<typeof Holder>[2]) => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.stats();
    return { proxy, queue, consume: () => new Holder(queue, options, onNext) };
  };

  /**
   * Acknowledges the first of 50 messages while `prefetch` are in flight, and cuts the connection
   * once the broker has the ack.
   */
  const breakAfterAck = async (numbers: readonly number[], prefetch: number) => {
    const acked: number[] = [];
    let broken = false;
    const { proxy, queue, consume } = await started({ prefetch }, (delivery) => {
      if (broken) void delivery.ack().then((counted) => counted && acked.push(numberOf(delivery.payload)));
    });
    await addForeign(numbers);
    const holder = consume();
    await eventually(() => holder.held.length === prefetch);
    proxy.stall('to-client');
    const counted = holder.deliveries[0]?.ack();
    // The ack arrives before the connection breaks, and its reply never comes.
    await eventually(
      async () => (await suite.length(suite.names.group('default').queue)) === numbers.length - prefetch - 1,
    );
    broken = true;
    proxy.cut();
    proxy.resume();
    expect(await counted).toBe(true);
    await eventually(
      () => acked.length >= numbers.length - 1,
      () => acked,
    );
    await eventually(async () => (await queue.stats()).unfinished === 0);
    return acked;
  };

  it.each([1, 5])(
    'settles only its own message, not others with the same id, with a prefetch of %d',
    async (prefetch) => {
      const acked = await breakAfterAck(upTo(50), prefetch);
      expect(new Set(acked)).toEqual(new Set(upTo(50).slice(1)));
    },
  );

  it.each([1, 5])('settles only its own message, not identical ones, with a prefetch of %d', async (prefetch) => {
    expect(await breakAfterAck(Array(50).fill(1), prefetch)).toHaveLength(49);
  });

  /**
   * Acknowledges the second of three messages without reaching the broker. Returns the numbers that
   * are delivered on the next connection.
   */
  const redelivered = async (publish: (queue: QueueBackend) => Promise<unknown>, count: number) => {
    const { proxy, queue, consume } = await started({ prefetch: 3 });
    await publish(queue);
    const holder = consume();
    await eventually(() => holder.held.length === 3);
    proxy.stall('to-target');
    const counted = holder.of(2).ack();
    // The ack is written in a later turn of the event loop.
    await new Promise((resolve) => setTimeout(resolve, 50));
    proxy.cut();
    proxy.resume();
    expect(await counted).toBe(true);
    await eventually(() => holder.held.length === count);
    await eventually(async () => (await queue.stats()).unfinished === count);
    return holder.numbers.slice(3);
  };

  it('settles the message when the broker redelivers it, without running it again', async () => {
    const publish = (queue: QueueBackend) => Promise.all(upTo(3).map((n) => queue.publish('key', { n })));
    expect(await redelivered(publish, 2)).toEqual([1, 3]);
  });

  it('does not settle a redelivered message of another program, which may be another identical one', async () => {
    expect(await redelivered(() => addForeign(upTo(3)), 3)).toEqual([1, 2, 3]);
  });
});

import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('Requeued messages on RabbitMQ', () => {
  const suite = new RabbitMqSuite();

  it("survive the deletion of the group's queue while they are redelivered", async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const all = upTo(400);
    await Promise.all(all.map((n) => queue.publish('key', { n })));
    const acked = new Set<number>();
    let delayed = 0;
    const holder = new Holder(queue, { prefetch: 20 }, async (delivery) => {
      if (delivery.attempt === 1) {
        await delivery.nack({ delay: 500 + Math.random() * 1000 });
        delayed += 1;
      } else if (delivery.attempt < 5) await delivery.nack();
      else if (await delivery.ack()) acked.add(numberOf(delivery.payload));
    });
    await eventually(() => delayed === all.length && acked.size > 40);
    const channel = await suite.channel();
    // Deleting the queue loses its messages. It is empty, because all of them wait for redelivery.
    expect(await channel.queueDelete({ queue: suite.names.group('default').queue })).toMatchObject({ messageCount: 0 });
    await eventually(
      () => acked.size === all.length,
      () => all.filter((n) => !acked.has(n)),
    );
    holder.subscription.unsubscribe();
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it.each(['nack', 'release'] as const)('count as unfinished at every moment: %s()', async (how) => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 3 }, (delivery) => void delivery[how]());
    await Promise.all(upTo(3).map((n) => queue.publish('key', { n })));
    for (let look = 0; look < 60; look++) expect((await queue.stats()).unfinished).toBe(3);
    expect(holder.deliveries.length).toBeGreaterThan(3);
  });

  it('are delivered in publish order if their delays ended without a consumer', async () => {
    const queue = suite.open();
    const first = new Holder(queue, { prefetch: 3 });
    for (const n of upTo(3)) await queue.publish('key', { n });
    await eventually(() => first.deliveries.length === 3);
    const nacked = Promise.all(
      [[1, 400] as const, [2, 200] as const, [3, 20] as const].map(([n, delay]) => first.of(n).nack({ delay })),
    );
    // Unsubscribes before the first delay can end.
    first.subscription.unsubscribe();
    expect(await nacked).toEqual([true, true, true]);
    await eventually(async () => (await queue.stats()).ready === 3);
    const next = new Holder(queue);
    await eventually(() => next.deliveries.length === 3);
    expect(next.attempts).toEqual(upTo(3).map((n) => [n, 2]));
  });

  it('are delivered before waiting messages, even if they exceed the prefetch', async () => {
    const queue = suite.open();
    const first = new Holder(queue, { prefetch: 6 });
    await Promise.all(upTo(8).map((n) => queue.publish('key', { n })));
    await eventually(() => first.deliveries.length === 6);
    for (const n of upTo(6)) expect(await first.of(n).nack({ delay: 20 })).toBe(true);
    first.subscription.unsubscribe();
    await eventually(async () => (await queue.stats()).ready === 8);
    const next = new Holder(queue, { prefetch: 2 }, (delivery) => void delivery.ack());
    await eventually(() => next.deliveries.length === 8);
    // Delays end in any order. Only messages within the prefetch are sorted.
    const [again, waiting] = [next.numbers.slice(0, 6), next.numbers.slice(6)];
    expect([again.toSorted(), waiting]).toEqual([upTo(6), [7, 8]]);
  });

  it('keep the maximum of headers over many delays', async () => {
    const queue = suite.open();
    const headers = { long: 'x'.repeat(130_000) };
    await queue.publish('k'.repeat(255), { n: 1 }, { headers, delay: 1000 });
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 2);
    expect(await holder.of(1).nack({ delay: 300 })).toBe(true);
    await eventually(() => holder.deliveries.length === 3);
    expect(holder.of(1)).toMatchObject({ headers, attempt: 2 });
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  });

  it('are sorted by delivery order, whatever the clocks of their publishers say', async () => {
    const queue = suite.open();
    await queue.stats();
    const publishedAt = Date.now();
    for (const [n, ahead] of [[1, 5000] as const, [2, 0] as const, [3, 5000] as const]) {
      const properties = {
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        type: 'key',
        headers: { 'sluice-published-at': publishedAt + ahead },
      };
      await suite.add({ messageId: `${n}`, routingKey: 'key', ...properties }, Buffer.from(JSON.stringify({ n })));
    }
    const first = new Holder(queue, { prefetch: 3 });
    await eventually(() => first.deliveries.length === 3);
    first.subscription.unsubscribe();
    const next = new Holder(queue, { prefetch: 3 });
    await eventually(() => next.deliveries.length === 3);
    expect(next.numbers).toEqual([1, 2, 3]);
  });
});

describeWithRabbitMq('RabbitMqBackend when its client is closed externally', () => {
  const suite = new RabbitMqSuite();

  it('rejects stats() in time', async () => {
    const client = suite.client().on('error', () => undefined);
    const queue = suite.open({ client, publishTimeout: 3000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    // The client waits for its open channels.
    void client.close();
    expect(await failureOf(queue.stats())).toMatchObject({ retryable: true });
  });
});

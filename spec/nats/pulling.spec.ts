import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** With its subject and headers, less than the maximum of the server. */
const LARGE = 'x'.repeat(1_000_000);

describeWithNats('The number of messages that a NatsBackend requests at a time', () => {
  const suite = new NatsSuite();

  /** Resolves to how many messages each request is for. */
  const requests = async () => {
    const connection = await suite.connection();
    const batches: number[] = [];
    const callback = (_error: unknown, message: { json<T>(): T }) =>
      void batches.push(message.json<{ batch: number }>().batch);
    connection.subscribe(`$JS.API.CONSUMER.MSG.NEXT.${suite.names.stream}.>`, { callback });
    await connection.flush();
    return batches;
  };

  it('is one for large messages, so that a slow link transfers them within the lease', async () => {
    const batches = await requests();
    const groups = ['a', 'b'];
    const queue = suite.open({ groups });
    for (const n of upTo(40)) await queue.publish('key', { n, LARGE });
    const holders = groups.map((group) => new Holder(queue, { group, prefetch: 5000 }));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 40));
    expect(holders.map(({ numbers }) => numbers)).toEqual([upTo(40), upTo(40)]);
    expect(Math.max(...batches)).toBe(1);
  });

  it('is higher for small messages, up to a thousand', async () => {
    const batches = await requests();
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 5000 }, (delivery) => void delivery.ack());
    await Promise.all(upTo(2000).map((n) => queue.publish('key', { n })));
    await eventually(() => holder.deliveries.length === 2000);
    expect(holder.numbers).toEqual(upTo(2000));
    expect(Math.max(...batches)).toBeGreaterThan(32);
    expect(Math.max(...batches)).toBeLessThanOrEqual(1000);
  });
});

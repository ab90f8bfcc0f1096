import { BackendUnavailableError } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/** Channels per connection that the server allows. Subscribers take at most half of them. */
const CHANNELS = 8;

describeWithRabbitMq('RabbitMqBackend with more subscribers than channels per connection', () => {
  retryOnce();
  const suite = new RabbitMqSuite({ config: { channel_max: String(CHANNELS) } });

  it('serves all subscribers on several connections and answers stats()', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const holders = upTo(3 * CHANNELS).map(() => new Holder(queue, { prefetch: 1 }));
    await Promise.all(holders.map((_, n) => queue.publish('key', { n })));
    await eventually(
      () => holders.every(({ deliveries }) => deliveries.length === 1),
      () => holders.map(({ numbers, error }) => ({ numbers, error })),
    );
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 3 * CHANNELS });
    expect(proxy.connections).toBe(7);
    for (const { held } of holders) expect(await held[0]?.ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await queue.close();
    await eventually(() => proxy.connections === 0);
  });

  it('reuses the channel of a subscriber that has unsubscribed', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    for (const n of upTo(3 * CHANNELS)) {
      const holder = new Holder(queue);
      await queue.publish('key', { n });
      await eventually(() => holder.deliveries.length === 1);
      await holder.of(n).ack();
      holder.subscription.unsubscribe();
    }
    expect(proxy.accepted).toBe(2);
  });

  it('fails streams that get no channel on a given connection and serves the others', async () => {
    const client = suite.client().on('error', () => undefined);
    const queue = suite.open({ client });
    const holders = upTo(CHANNELS).map(() => new Holder(queue, { prefetch: 1 }));
    await eventually(() => holders.filter(({ error }) => error !== undefined).length === 4);
    for (const { error } of holders)
      if (error !== undefined) {
        expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: false });
        expect((error as Error).message).toMatch(/no channel left.*every subscriber needs one.*set `url`.*of 8\)/s);
      }
    const served = holders.filter(({ error }) => error === undefined);
    await Promise.all(served.map((_, n) => queue.publish('key', { n })));
    await eventually(() => served.every(({ deliveries }) => deliveries.length === 1));
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: served.length });
  });
});

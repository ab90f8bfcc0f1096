import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

/** How many listeners the client has. */
function listenersOf(client: NatsConnection): number {
  return (client as unknown as { protocol: { listeners: unknown[] } }).protocol.listeners.length;
}

/** How many subscriptions the client has. */
function subscriptionsOf(client: NatsConnection): number {
  return (client as unknown as { protocol: { subscriptions: { size(): number } } }).protocol.subscriptions.size();
}

describeWithNats('A client of the user', () => {
  retryOnce();
  const suite = new NatsSuite();

  const worksWith = async (client: NatsConnection) => {
    const queue = suite.open({ client });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 }, { headers: { a: 'b' } });
    await eventually(() => holder.deliveries.length === 1);
    expect(holder.of(1)).toMatchObject({ key: 'key', payload: { n: 1 }, headers: { a: 'b' }, attempt: 1 });
    expect(await holder.of(1).ack()).toBe(true);
    await queue.close();
  };

  it('is used and not closed, and keeps no subscriptions or listeners', async () => {
    const client = await suite.client();
    const before = subscriptionsOf(client);
    const listened = listenersOf(client);
    await worksWith(client);
    expect(client.isClosed()).toBe(false);
    await client.flush();
    // A client that sends requests has one inbox for all responses.
    expect(subscriptionsOf(client)).toBeLessThanOrEqual(before + 1);
    await worksWith(client);
    expect(subscriptionsOf(client)).toBeLessThanOrEqual(before + 1);
    await eventually(() => listenersOf(client) === listened);
  });

  it('may serve several queues', async () => {
    const client = await suite.client();
    const queues = upTo(3).map((n) => suite.open({ client, name: `${suite.name}.${n}` }));
    const holders = queues.map((queue) => new Holder(queue, {}, (delivery) => void delivery.ack()));
    await Promise.all(queues.map((queue, n) => queue.publish('key', { n })));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 1));
    await queues[0]?.close();
    await queues[1]?.publish('key', { n: 5 });
    await eventually(() => holders[1]?.numbers.includes(5) === true);
  });

  it.each<[what: string, options: ConnectionOptions]>([
    ['a prefix for its inboxes', { inboxPrefix: '_MY_INBOX.of.mine' }],
    ['no echo', { noEcho: true }],
    ['a name', { name: 'mine' }],
    ['verbose answers', { verbose: true }],
    ['pedantic checks', { pedantic: true }],
    ['no asynchronous traces', { noAsyncTraces: true }],
    ['frequent pings', { pingInterval: 50 }],
  ])('may have %s', async (_what, options) => {
    await worksWith(await suite.client(options));
  });

  it('reconnects by itself, and the queue resumes', async () => {
    const { proxy, url } = await suite.proxy();
    const client = await suite.client({
      servers: url.replace('nats://', ''),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 50,
    });
    const logger = recordingLogger();
    const queue = suite.open({ client, lease: 1000, logger });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 0 });
    const before = subscriptionsOf(client);
    for (const n of upTo(3)) {
      await proxy.refuse();
      proxy.cut();
      const published = queue.publish('key', { n });
      await proxy.accept();
      await published;
    }
    await eventually(() => upTo(3).every((n) => holder.numbers.includes(n)));
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect(subscriptionsOf(client)).toBeLessThanOrEqual(before + 2);
    await eventually(() => logger.warnings.some((message) => message.includes('Reconnected to')));
    expect(client.isClosed()).toBe(false);
  });

  it('gives a clear error immediately if it is closed', async () => {
    const client = await suite.client();
    await client.close();
    const queue = suite.open({ client, publishTimeout: 20_000 });
    const holder = new Holder(queue);
    const failures = await Promise.all([queue.publish('key', {}), queue.stats()].map(failureOf));
    for (const error of failures)
      expect(error).toMatchObject({
        name: 'BackendUnavailableError',
        retryable: false,
        message: expect.stringMatching(/handed in is closed/),
      });
    await eventually(() => holder.error !== undefined);
  });

  it('ends the streams with a clear error if it is closed while in use', async () => {
    const client = await suite.client();
    const queue = suite.open({ client, publishTimeout: 20_000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await client.close();
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/handed in is closed/),
    });
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ retryable: false });
    await queue.close();
  });

  it('gives a clear error if it is drained while in use', async () => {
    const client = await suite.client();
    const queue = suite.open({ client, publishTimeout: 20_000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await client.drain();
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false });
    await eventually(() => holder.error !== undefined);
  });

  it.each([false, true])(
    'gives a clear error while it is drained, and does not block the event loop (a consumer: %s)',
    async (consumes) => {
      const client = await suite.client();
      const queue = suite.open({ client, publishTimeout: 20_000 });
      await queue.publish('key', { n: 1 });
      const holder = consumes ? new Holder(queue) : undefined;
      if (holder !== undefined) await eventually(() => holder.deliveries.length === 1);
      const drained = client.drain();
      const acked = holder?.of(1).ack();
      void acked?.catch(() => {});
      expect(await failureOf(queue.stats())).toMatchObject({ name: 'BackendUnavailableError', retryable: false });
      await drained;
    },
  );
});

import { createClient } from 'redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('RedisBackend when its server closes idle connections', () => {
  retryOnce();
  const suite = new RedisSuite({ config: { timeout: '3' } });

  /** Waits until the server has closed an idle connection that was opened now. */
  const idleTimeout = async () => {
    const client = createClient({ url: suite.url, socket: { reconnectStrategy: false } });
    // `once` of node:events would reject if the connection is reset.
    const closed = new Promise((resolve) => client.once('terminated', resolve));
    client.on('error', () => undefined);
    await client.connect();
    await closed;
  };

  it.each<[what: string, begin: (open: () => ReturnType<typeof suite.open>) => Promise<unknown>]>([
    ['publisher without messages', (open) => open().publish('key', { n: 1 })],
    [
      'consumer that waits for messages',
      async (open) => {
        void new Holder(open());
        await eventually(async () => (await suite.connections()).length === 2);
      },
    ],
    [
      'consumer with a slow handler',
      async (open) => {
        const queue = open();
        const holder = new Holder(queue, { prefetch: 1 });
        await eventually(async () => (await suite.connections()).length === 2);
        await queue.publish('key', { n: 1 });
        await eventually(() => holder.deliveries.length === 1);
      },
    ],
  ])('keeps the connection open: %s', async (_what, begin) => {
    const logger = recordingLogger();
    await begin(() => suite.open({ logger }));
    const before = await suite.connections();
    // The server would close the connection of the suite, and a command sent at that moment fails.
    suite.closeOwn();
    for (let times = 0; times < 2; times++) await idleTimeout();
    expect(logger.warnings).toEqual([]);
    // Unused connections may be closed, but no connection may be new.
    expect(before).toEqual(expect.arrayContaining(await suite.connections()));
  });
});

import { createClient } from 'redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A RedisBackend whose server closes idle connections', () => {
  retryOnce();
  const suite = new RedisSuite({ config: { timeout: '3' } });

  /** Waits until the server has closed a connection that was made now, and is idle. */
  const idleTimeout = async () => {
    const client = createClient({ url: suite.url, socket: { reconnectStrategy: false } });
    // Not with `once` of node:events, which rejects with the reset of a connection.
    const closed = new Promise((resolve) => client.once('terminated', resolve));
    client.on('error', () => undefined);
    await client.connect();
    await closed;
  };

  it.each<[what: string, begin: (open: () => ReturnType<typeof suite.open>) => Promise<unknown>]>([
    ['of a publisher that has nothing to publish', (open) => open().publish('key', { n: 1 })],
    [
      'of a consumer that waits for messages',
      async (open) => {
        void new Holder(open());
        await eventually(async () => (await suite.connections()).length === 2);
      },
    ],
    [
      'of a consumer whose handlers take their time',
      async (open) => {
        const queue = open();
        const holder = new Holder(queue, { prefetch: 1 });
        await eventually(async () => (await suite.connections()).length === 2);
        await queue.publish('key', { n: 1 });
        await eventually(() => holder.deliveries.length === 1);
      },
    ],
  ])('keeps its connections: %s', async (_what, begin) => {
    const logger = recordingLogger();
    await begin(() => suite.open({ logger }));
    const before = await suite.connections();
    // The server would close it while it is idle, and a command that is sent at that moment fails.
    suite.closeOwn();
    for (let times = 0; times < 2; times++) await idleTimeout();
    expect(logger.warnings).toEqual([]);
    // An unused connection may be closed, but none is new.
    expect(before).toEqual(expect.arrayContaining(await suite.connections()));
  });
});

import { createSentinel } from 'redis';
import { RedisBackend, type RedisBackendOptions } from 'sluice/redis';
import { publishLoad } from '../../integration/load.js';
import { eventually } from '../../support/eventually.js';
import { failureOf } from '../../support/promises.js';
import { silentLogger } from '../../support/recording-logger.js';
import { describeWithRedisSentinel } from '../../support/servers/describe-with.js';
import { freePort } from '../../support/servers/free-port.js';
import { SentinelSet } from '../../support/servers/redis-sentinel.js';
import { StrangeServer } from '../../support/servers/strange-server.js';
import { Tally } from '../../support/tally.js';
import { consumeHere } from './in-process.js';

const LOAD = 2_000;
const BEFORE = 500;
/** Maximum number of messages that a consumer has in flight. */
const PREFETCH = 32;
const password = 'secret';

describeWithRedisSentinel('A Redis queue with Sentinel', () => {
  let set: SentinelSet;
  const endings: (() => unknown)[] = [];

  beforeAll(async () => {
    set = await SentinelSet.start({ password });
  }, 150_000);

  afterEach(async () => {
    for (const end of endings.splice(0).reverse()) await end();
  });

  afterAll(() => set.stop());

  const open = (options: RedisBackendOptions) => {
    const queue = new RedisBackend({
      name: 'q',
      lease: 5_000,
      publishTimeout: 100_000,
      logger: silentLogger,
      ...options,
    });
    endings.push(() => queue.close());
    return queue;
  };

  const newClient = (options: Partial<Parameters<typeof createSentinel>[0]> = {}) =>
    createSentinel({
      name: SentinelSet.name,
      sentinelRootNodes: set.nodes,
      nodeClientOptions: { password },
      ...options,
    });

  it.each(['killed', 'frozen'] as const)(
    'loses no message when the server is %s under load',
    async (how) => {
      const client = newClient();
      const queue = open({ client, name: `by-sentinel-${how}` });
      const tally = new Tally();
      const fate = consumeHere(queue, tally);
      const published = publishLoad(queue, { tally, count: LOAD, ahead: 300 });
      await eventually(() => tally.done >= BEFORE);
      const master = await set.master();
      if (how === 'killed') await master.kill();
      else master.freeze();
      endings.push(() => master.thaw());
      await set.replaced(master);
      if (how === 'killed') await master.start();
      else master.thaw();
      await published;
      await eventually(async () => (await queue.stats()).unfinished === 0);
      expect(fate.error).toBeUndefined();
      expect(client.isOpen).toBe(false);
      expect(tally.confirmed).toBe(LOAD);
      await set.whole();
      tally.close(`Redis with Sentinel: a server ${how} under load`, PREFETCH);
    },
    200_000,
  );

  it('connects although the first sentinel is down', async () => {
    const queue = open({
      client: newClient({ sentinelRootNodes: [{ host: '127.0.0.1', port: await freePort() }, ...set.nodes] }),
    });
    await queue.publish('key', { n: 1 });
    expect((await queue.stats()).ready).toBe(1);
  });

  it('connects although the first sentinels accept connections and never answer', async () => {
    let accepted = 0;
    const silent = await Promise.all(
      [1, 2].map(() =>
        StrangeServer.start(() => {
          accepted++;
        }),
      ),
    );
    endings.push(...silent.map((server) => () => server.stop()));
    const named = [...silent.map(({ port }) => ({ host: '127.0.0.1', port })), ...set.nodes];
    const queue = open({ client: newClient({ sentinelRootNodes: named }), name: 'behind-silent-sentinels' });
    await queue.publish('key', { n: 1 });
    expect(accepted).toBeGreaterThan(0);
    expect((await queue.stats()).ready).toBe(1);
  });

  it.each<[cause: string, options: Parameters<typeof newClient>[0], reason: RegExp]>([
    ['the sentinels do not know the master', { name: 'unknown' }, /No such master/],
    [
      'the server refuses the password',
      { nodeClientOptions: { password: 'wrong' } },
      /refused the user or the password/,
    ],
  ])('fails immediately if %s', async (_cause, options, reason) => {
    expect(await failureOf(open({ client: newClient(options) }).publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringMatching(reason),
    });
  });
});

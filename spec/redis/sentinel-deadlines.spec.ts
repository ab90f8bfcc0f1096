import { createSentinel } from 'redis';
import { routeOf } from '../../src/redis/route.js';

/** In milliseconds, for all sentinels together. */
const SEARCH = 9000;

const sentinelRootNodes = ['one', 'two', 'three'].map((host) => ({ host, port: 26_379 }));

const noServer = () => {
  throw new Error('Expected that no server is found');
};

/** The options with which the queue makes its own sentinel client. */
function overridesFor(client: Parameters<typeof routeOf>[0]): unknown {
  const duplicate = jest.spyOn(client, 'duplicate');
  routeOf(client, 0, noServer, SEARCH).destroy();
  return duplicate.mock.lastCall?.[0];
}

describe('The client that queries sentinels', () => {
  it.each([
    ['its share of the search', undefined, { connectTimeout: 3000, socketTimeout: 3000 }],
    [
      'no more than its share',
      { connectTimeout: 60_000, socketTimeout: 60_000 },
      { connectTimeout: 3000, socketTimeout: 3000 },
    ],
    [
      'no more than the client allows',
      { connectTimeout: 200, socketTimeout: 100 },
      { connectTimeout: 200, socketTimeout: 100 },
    ],
    [
      'its share if the client sets no limit',
      { connectTimeout: 0, socketTimeout: 0 },
      { connectTimeout: 3000, socketTimeout: 3000 },
    ],
  ])('gives each sentinel %s', (_what, socket, expected) => {
    const client = createSentinel({
      name: 'main',
      sentinelRootNodes,
      sentinelClientOptions: { ...(socket && { socket }) },
    });
    expect(overridesFor(client)).toMatchObject({ sentinelClientOptions: { socket: expected } });
  });

  it('keeps the other options of the sentinels', () => {
    const sentinelClientOptions = {
      username: 'app',
      password: 'secret',
      socket: { tls: true as const, servername: 'sentinels' },
    };
    const client = createSentinel({ name: 'main', sentinelRootNodes, sentinelClientOptions });
    expect(overridesFor(client)).toMatchObject({ sentinelClientOptions });
  });

  it('gives each of many sentinels one second', () => {
    const many = Array.from({ length: 50 }, (_, index) => ({ host: `sentinel-${index}`, port: 26_379 }));
    expect(overridesFor(createSentinel({ name: 'main', sentinelRootNodes: many }))).toMatchObject({
      sentinelClientOptions: { socket: { connectTimeout: 1000, socketTimeout: 1000 } },
    });
  });

  it.each<[what: string, duplicate: () => unknown]>([
    ['another client', () => ({ on: () => {}, destroy: () => {} })],
    ['nothing', () => undefined],
  ])('keeps the options of the client if they cannot be read and its duplicate is %s', (_what, duplicate) => {
    const finder = { on: () => {}, destroy: () => {} };
    const client = {
      getSentinelNode: () => undefined,
      duplicate: (overrides?: object) => (overrides === undefined ? duplicate() : finder),
    };
    expect(overridesFor(client)).not.toHaveProperty('sentinelClientOptions');
  });
});

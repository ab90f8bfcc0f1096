import { createSentinel } from 'redis';
import { routeOf } from '../../src/redis/route.js';

/** In milliseconds, for all sentinels together. */
const SEARCH = 9000;

const sentinelRootNodes = ['one', 'two', 'three'].map((host) => ({ host, port: 26_379 }));

const noServer = () => {
  throw new Error('Expected no server to be found');
};

/** What the queue's own client of sentinels is made with. */
function overridesFor(client: Parameters<typeof routeOf>[0]): unknown {
  const duplicate = jest.spyOn(client, 'duplicate');
  routeOf(client, 0, noServer, SEARCH).destroy();
  return duplicate.mock.lastCall?.[0];
}

describe('The client that asks the sentinels', () => {
  it.each([
    ['its share of the search', undefined, { connectTimeout: 3000, socketTimeout: 3000 }],
    [
      'no more than its share',
      { connectTimeout: 60_000, socketTimeout: 60_000 },
      { connectTimeout: 3000, socketTimeout: 3000 },
    ],
    [
      'no more than the client gives it',
      { connectTimeout: 200, socketTimeout: 100 },
      { connectTimeout: 200, socketTimeout: 100 },
    ],
    [
      'its share where the client sets no limit',
      { connectTimeout: 0, socketTimeout: 0 },
      { connectTimeout: 3000, socketTimeout: 3000 },
    ],
  ])('gives each %s', (_what, socket, expected) => {
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

  it('gives each of many sentinels a second', () => {
    const many = Array.from({ length: 50 }, (_, index) => ({ host: `sentinel-${index}`, port: 26_379 }));
    expect(overridesFor(createSentinel({ name: 'main', sentinelRootNodes: many }))).toMatchObject({
      sentinelClientOptions: { socket: { connectTimeout: 1000, socketTimeout: 1000 } },
    });
  });

  it.each<[what: string, duplicate: () => unknown]>([
    ['another client', () => ({ on: () => {}, destroy: () => {} })],
    ['nothing', () => undefined],
  ])(
    'has the options of the client as they are, where that one does not tell them and its duplicate is %s',
    (_what, duplicate) => {
      const finder = { on: () => {}, destroy: () => {} };
      const client = {
        getSentinelNode: () => undefined,
        duplicate: (overrides?: object) => (overrides === undefined ? duplicate() : finder),
      };
      expect(overridesFor(client)).not.toHaveProperty('sentinelClientOptions');
    },
  );
});

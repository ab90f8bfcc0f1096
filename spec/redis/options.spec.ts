import { createClient, createClientPool, createCluster, createSentinel } from 'redis';
import { RedisBackend, type RedisClientTemplate } from 'sluice/redis';
import { nowhere, REDIS } from '../support/provider.js';
import { providerOptions } from '../support/provider-options.js';

providerOptions(RedisBackend, REDIS, { client: createClient(), method: 'duplicate' });

describe('Options of RedisBackend', () => {
  it('accept a client of a cluster or of sentinels', async () => {
    const cluster = createCluster({ rootNodes: [{ url: nowhere(REDIS) }] });
    const sentinel = createSentinel({ name: 'main', sentinelRootNodes: [{ host: '127.0.0.1', port: 1 }] });
    for (const client of [cluster, sentinel]) await new RedisBackend({ client }).close();
  });

  it('refuse a client pool', () => {
    const client = createClientPool() as unknown as RedisClientTemplate;
    expect(() => new RedisBackend({ client })).toThrow(TypeError);
    expect(() => new RedisBackend({ client })).toThrow(/`client`/);
  });
});

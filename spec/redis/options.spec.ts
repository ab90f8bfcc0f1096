import { createClient, createCluster } from 'redis';
import { RedisBackend } from 'sluice/redis';
import { nowhere, REDIS } from '../support/provider.js';
import { providerOptions } from '../support/provider-options.js';

providerOptions(RedisBackend, REDIS, { client: createClient(), method: 'duplicate' });

describe('The options of a RedisBackend', () => {
  it('refuse the client of a cluster, which takes its commands in another way', () => {
    const client = createCluster({ rootNodes: [{ url: nowhere(REDIS) }] });
    expect(() => new RedisBackend({ client })).toThrow(TypeError);
    expect(() => new RedisBackend({ client })).toThrow(/`client`/);
  });
});

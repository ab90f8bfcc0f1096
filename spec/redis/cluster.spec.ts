import { createCluster } from 'redis';
import { RedisBackend } from 'sluice/redis';
import { silentLogger } from '../support/recording-logger.js';
import { exercise } from '../support/redis-exercise.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A queue on a cluster', () => {
  const suite = new RedisSuite({ cluster: true });

  it.each(['plain', '{x}y', '}{100% ü😀\n'])('has all its keys in one slot: %j', async (prefix) => {
    suite.name = `${prefix}${suite.name}`;
    const slots = new Set<unknown>();
    const kinds = new Set<string>();
    const look = async () => {
      for (const key of (await suite.run('KEYS', '*')) as string[]) {
        slots.add(await suite.run('CLUSTER', 'KEYSLOT', key));
        kinds.add(/\}:(\w+)/.exec(key)?.[1] ?? 'stream');
      }
    };
    await suite.run('FLUSHALL');
    const queue = suite.open({ groups: ['a', 'b'], lease: 200 });
    suite.name = prefix.replace(/[%{}]/g, (brace) => `%${brace.charCodeAt(0).toString(16).toUpperCase()}`) + suite.name.slice(prefix.length);
    await exercise(suite, queue, look);
    expect(slots.size).toBe(1);
    expect([...kinds].toSorted()).toEqual(['aside', 'bell', 'delayed', 'fenced', 'later', 'published', 'returned', 'settled', 'stream']);
  });

  it('is not served through a client of a cluster, which takes its commands in another way', () => {
    const client = createCluster({ rootNodes: [{ url: suite.url }] });
    expect(() => new RedisBackend({ client, name: suite.name, logger: silentLogger })).toThrow(TypeError);
  });
});

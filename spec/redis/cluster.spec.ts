import { createCluster } from 'redis';
import { queueKeys, slotOf } from '../../src/redis/keys.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { EXERCISED, exercise } from '../support/redis-exercise.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('A queue on a Redis Cluster', () => {
  const suite = new RedisSuite({ cluster: true });

  it.each(['plain', '{x}y', '}{100% ü😀\n'])('keeps all its keys in one slot, named %j', async (prefix) => {
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
    const { name } = suite;
    const open = (lease: number) => suite.open({ name, groups: EXERCISED, lease });
    suite.name =
      prefix.replace(/[%{}]/g, (brace) => `%${brace.charCodeAt(0).toString(16).toUpperCase()}`) +
      suite.name.slice(prefix.length);
    await exercise(suite, open, look);
    expect([...slots]).toEqual([slotOf(queueKeys(name).stream)]);
    expect([...kinds].toSorted()).toEqual([
      'addressed',
      'aside',
      'bell',
      'delayed',
      'fenced',
      'later',
      'published',
      'returned',
      'settled',
      'stream',
    ]);
    await open(30_000).deleteQueue();
    expect(await suite.run('KEYS', '*')).toEqual([]);
  });

  it('connects like a given cluster client and neither uses nor closes that client', async () => {
    const client = createCluster({ rootNodes: [{ url: suite.url }] });
    await client.connect();
    suite.ending(() => client.destroy());
    const queue = suite.open({ client });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).ack()).toBe(true);
    await queue.close();
    await eventually(async () => (await suite.connections()).length === 1);
    expect(client.isOpen).toBe(true);
  });
});

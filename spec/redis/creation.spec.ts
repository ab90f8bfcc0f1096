import { RedisBackend } from 'sluice/redis';
import { Holder } from '../support/consumers.js';
import { creationCases } from '../support/creation-cases.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('RedisBackend with `create: false`', () => {
  const suite = new RedisSuite();

  const { open } = creationCases({
    suite,
    Backend: RedisBackend,
    foreignGroups: true,
    deleteQueue: async () => suite.run('DEL', ...((await suite.run('KEYS', `${suite.name}*`)) as string[])),
    deleteGroup: (name) => suite.run('XGROUP', 'DESTROY', suite.name, name),
  });

  it('consumes for a group that another program has created without the wake stream', async () => {
    await suite.run('XGROUP', 'CREATE', suite.name, 'default', '0', 'MKSTREAM');
    const queue = open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await holder.of(1).nack();
    await eventually(() => holder.deliveries.length === 2);
  });
});

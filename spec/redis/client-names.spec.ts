import { createClient, createCluster } from 'redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

/** The names of all connections that have one. */
async function namesOn(suite: RedisSuite): Promise<string[]> {
  const list = String(await suite.run('CLIENT', 'LIST', 'TYPE', 'normal'));
  return [...list.matchAll(/ name=(\S+)/g)].map(([, name = '']) => name).toSorted();
}

describeWithRedis('Connection names', () => {
  const suite = new RedisSuite();

  it('contain the queue and the group, also after a reconnect', async () => {
    const queue = suite.open({ name: 'orders', groups: ['billing'] });
    void new Holder(queue, { group: 'billing' });
    await queue.publish('key', { n: 1 });
    await eventually(async () => (await namesOn(suite)).join() === 'sluice:orders,sluice:orders:billing');
    await suite.disconnect();
    await queue.publish('key', { n: 2 });
    await eventually(async () => (await namesOn(suite)).join() === 'sluice:orders,sluice:orders:billing');
    await suite.run('FLUSHALL');
  });

  it('contain no character that the server refuses', async () => {
    const odd = 'a b\n\u0000ü😀~{}';
    const queue = suite.open({ name: odd, groups: [odd] });
    void new Holder(queue, { group: odd });
    await queue.publish('key', { n: 1 });
    await eventually(async () => (await namesOn(suite)).join() === 'sluice:a_b____~{},sluice:a_b____~{}:a_b____~{}');
    await suite.run('FLUSHALL');
  });

  it('keep the name of the given client if it has one', async () => {
    const queue = suite.open({ client: createClient({ url: suite.url, name: 'mine' }), groups: ['billing'] });
    void new Holder(queue, { group: 'billing' });
    await queue.publish('key', { n: 1 });
    await eventually(async () => (await namesOn(suite)).join() === 'mine,mine');
  });

  it('contain the queue if the given client has no name', async () => {
    const queue = suite.open({ client: createClient({ url: suite.url, RESP: 3 }) });
    await queue.publish('key', { n: 1 });
    expect(await namesOn(suite)).toEqual([`sluice:${suite.name}`]);
  });

  it('are set on the connections of the queue but not on the given client', async () => {
    const client = await createClient({ url: suite.url }).connect();
    suite.ending(() => client.destroy());
    const queue = suite.open({ client });
    await queue.publish('key', { n: 1 });
    expect(await namesOn(suite)).toEqual([`sluice:${suite.name}`]);
    expect(await client.clientGetName()).toBeNull();
  });

  it('stay empty if the user may not run CLIENT SETNAME', async () => {
    await suite.run(
      'ACL',
      'SETUSER',
      'app',
      'reset',
      'on',
      '>secret',
      '~*',
      '+@all',
      '-client',
      '+client|id',
      '+client|unblock',
    );
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    const queue = suite.open({ url: suite.url.replace('redis://', 'redis://app:secret@') });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    expect(await namesOn(suite)).toEqual([]);
  });
});

describeWithRedis('Connection names on a cluster', () => {
  const suite = new RedisSuite({ cluster: true });

  it.each<[source: string, name: string | undefined]>([
    ['contain the queue', undefined],
    ['keep the name that the client sets for its nodes', 'mine'],
  ])('%s', async (_source, name) => {
    const client = createCluster({ rootNodes: [{ url: suite.url }], defaults: name === undefined ? {} : { name } });
    const queue = suite.open({ client });
    await queue.publish('key', { n: 1 });
    expect(await namesOn(suite)).toEqual([name ?? `sluice:${suite.name}`]);
  });
});

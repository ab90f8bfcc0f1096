import { ErrorReply } from 'redis';
import type { QueueDiagnosis } from 'sluice';
import { diagnose } from '../../src/redis/diagnosis.js';
import { queueKeys } from '../../src/redis/keys.js';
import type { RedisLink } from '../../src/redis/link.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { RedisServer } from '../support/servers/redis-server.js';

const SECOND = 1000;

/** The code and the severity of each finding. */
function codes({ findings }: QueueDiagnosis): string[] {
  return findings.map(({ code, severity }) => `${severity} ${code}`).toSorted();
}

describeWithRedis('The diagnosis of a Redis queue', () => {
  const suite = new RedisSuite({ appendOnly: true });

  const diagnosed = async (url = suite.url) => {
    const queue = suite.open({ url });
    const diagnosis = await queue.diagnose();
    await queue.close();
    return diagnosis;
  };

  const set = async (name: string, value: string) => {
    const [, before = ''] = (await suite.run('CONFIG', 'GET', name)) as string[];
    suite.ending(() => suite.run('CONFIG', 'SET', name, before));
    await suite.run('CONFIG', 'SET', name, value);
  };

  it('finds nothing on a server that is well configured, and changes nothing', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    const keys = await suite.keys();
    const diagnosis = await queue.diagnose();
    expect(diagnosis).toEqual({
      server: expect.stringMatching(/^(Redis|Valkey) \d+\.\d+\.\d+$/),
      clients: ['redis'],
      clockDifference: expect.any(Number),
      findings: [],
    });
    expect(Math.abs(diagnosis.clockDifference ?? Number.NaN)).toBeLessThan(60 * SECOND);
    expect(await suite.keys()).toEqual(keys);
  });

  it.each([
    ['appendonly', 'no', 'problem redis-appendonly', /all messages since its last snapshot are lost/],
    ['appendfsync', 'everysec', 'problem redis-appendfsync', /up to a second of confirmed messages/],
    ['appendfsync', 'no', 'problem redis-appendfsync', /half a minute or more of confirmed messages/],
    ['maxmemory-policy', 'allkeys-lru', 'problem redis-maxmemory-policy', /the messages of the queue.*not set now/],
    ['maxmemory-policy', 'volatile-ttl', 'problem redis-maxmemory-policy', /remembered ids.*not set now/],
    ['maxmemory', '1', 'problem redis-memory', /% of its `maxmemory` of \d+ bytes/],
  ])('finds `%s %s`', async (name, value, found, message) => {
    await diagnosed();
    const used = /used_memory:(\d+)/.exec(String(await suite.run('INFO', 'memory')))?.[1];
    await set(name, value === '1' ? String(Math.floor(Number(used) * 1.05)) : value);
    const diagnosis = await diagnosed();
    expect(codes(diagnosis)).toEqual([found]);
    expect(diagnosis.findings[0]?.message).toMatch(message);
    expect(diagnosis.findings[0]?.command).toMatch(new RegExp(`^redis-cli CONFIG SET ${name} `));
  });

  it('says whether `maxmemory` is set together with a policy', async () => {
    await set('maxmemory', '500mb');
    await set('maxmemory-policy', 'allkeys-lfu');
    expect((await diagnosed()).findings[0]?.message).toContain('`maxmemory` is 524288000 bytes now');
  });

  it('finds replicas that confirm nothing, and that the server is a replica', async () => {
    const replica = await RedisServer.start({
      appendOnly: true,
      config: { replicaof: `127.0.0.1 ${suite.server.port}` },
    });
    suite.ending(() => replica.stop());
    await suite.open().publish('key', { n: 1 });
    await eventually(async () => String(await suite.run('INFO', 'replication')).includes('state=online'));
    const diagnosis = await diagnosed();
    expect(codes(diagnosis)).toEqual(['note redis-min-replicas']);
    expect(diagnosis.findings[0]?.message).toMatch(/1 connected replica and .*a failover loses them/);
    await eventually(async () => Number(await replica.run('EXISTS', suite.name)) === 1);
    const ofReplica = await suite.open({ url: replica.url, create: false }).diagnose();
    expect(codes(ofReplica)).toEqual(['problem redis-replica']);
    expect(ofReplica.findings[0]?.message).toContain(`its master, 127.0.0.1:${suite.server.port}`);
    await set('min-replicas-to-write', '1');
    expect(codes(await diagnosed())).toEqual([]);
  });

  it('finds messages in flight whose consumers stopped long ago', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    for (const n of [1, 2, 3]) await queue.publish('key', { n });
    const read = (consumer: string, count: string) =>
      suite.run('XREADGROUP', 'GROUP', 'a', consumer, 'COUNT', count, 'STREAMS', suite.name, '>');
    await read('dead~1', '2');
    await read('alive~60000', '1');
    await eventually(async () => codes(await queue.diagnose()).length > 0);
    const { findings } = await queue.diagnose();
    expect(findings).toEqual([
      { code: 'redis-stuck-leases', severity: 'problem', message: expect.stringMatching(/^Group "a" .* 2 messages/) },
    ]);
    const holder = new Holder(queue, { group: 'a' });
    await eventually(() => holder.deliveries.length === 2);
    expect(codes(await queue.diagnose())).toEqual([]);
  });

  it('does not count requeued messages without a consumer as stuck', async () => {
    const queue = suite.open({ lease: 100 });
    await queue.publish('key', { n: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    await holder.of(1).nack({ delay: 60_000 });
    holder.subscription.unsubscribe();
    const deadline = performance.now() + 300;
    await eventually(() => performance.now() > deadline);
    expect(codes(await queue.diagnose())).toEqual([]);
  });

  it('finds messages in quarantine, with the command that shows them', async () => {
    const queue = suite.open();
    await queue.stats();
    await suite.run('XADD', suite.name, '*', 'not', 'ours');
    void new Holder(queue);
    await eventually(async () => codes(await queue.diagnose()).length > 0);
    expect((await queue.diagnose()).findings).toEqual([
      {
        code: 'redis-quarantine',
        severity: 'problem',
        message: expect.stringContaining('has 1 message in quarantine'),
        command: `redis-cli HGETALL '${suite.key('aside')}'`,
      },
    ]);
  });

  it('notes what the user may not read, and how to permit it', async () => {
    await suite.open().stats();
    const rules = ['+@all', '-info', '-config', '-hlen', '-time', '~*'];
    await suite.run('ACL', 'SETUSER', 'app', 'reset', 'on', '>secret', ...rules);
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    const diagnosis = await suite
      .open({ url: suite.url.replace('redis://', 'redis://app:secret@'), create: false })
      .diagnose();
    expect(codes(diagnosis)).toEqual([
      'note redis-config-refused',
      'note redis-info-refused',
      'note redis-quarantine-refused',
    ]);
    expect(diagnosis).toMatchObject({ server: 'Redis', clients: ['redis'], clockDifference: undefined });
    for (const { command } of diagnosis.findings) {
      expect(command).toMatch(/^redis-cli ACL SETUSER app '?\+[a-z|]+'?$/);
      const [, , , , rule = ''] = command?.replaceAll("'", '').split(' ') ?? [];
      await suite.run('ACL', 'SETUSER', 'app', rule);
    }
    const next = suite.open({ url: suite.url.replace('redis://', 'redis://app:secret@') });
    expect(codes(await next.diagnose())).toEqual([]);
    expect(JSON.stringify(diagnosis)).not.toContain('secret');
  });

  it('reads the persistence and the memory policy from INFO if CONFIG is refused', async () => {
    await set('maxmemory-policy', 'allkeys-random');
    await set('appendonly', 'no');
    await suite.run('ACL', 'SETUSER', 'app', 'reset', 'on', '>secret', '+@all', '-config', '~*');
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    expect(codes(await diagnosed(suite.url.replace('redis://', 'redis://app:secret@')))).toEqual([
      'note redis-config-refused',
      'problem redis-appendonly',
      'problem redis-maxmemory-policy',
    ]);
  });
});

describe('The diagnosis of a Redis server', () => {
  /** Answers as a server with this INFO. */
  const diagnosed = (info: Record<string, string>, serverTime = Date.now()) => {
    const send = async ([command, , name]: readonly string[]) => {
      if (command === 'TIME') return [String(Math.floor(serverTime / SECOND)), String((serverTime % SECOND) * SECOND)];
      if (command === 'INFO')
        return Object.entries(info)
          .map((line) => line.join(':'))
          .join('\r\n');
      if (command === 'CONFIG') return name === 'min-replicas-to-write' ? [name, '0'] : [];
      if (command === 'HLEN') return 0;
      throw new ErrorReply('ERR no such key');
    };
    return diagnose({ send } as unknown as RedisLink, {
      queueName: 'orders',
      keys: queueKeys('orders'),
      lease: 30_000,
      clients: [],
    });
  };

  it.each([
    ['loading', '1', 'redis-loading'],
    ['aof_last_write_status', 'err', 'redis-aof-write'],
    ['aof_last_bgrewrite_status', 'err', 'redis-aof-rewrite'],
    ['rdb_last_bgsave_status', 'err', 'redis-snapshot'],
    ['role', 'slave', 'redis-replica'],
  ])('finds %s:%s', async (field, value, code) => {
    const diagnosis = await diagnosed({ redis_version: '8.0.2', [field]: value });
    expect(diagnosis).toMatchObject({ server: 'Redis 8.0.2', findings: [{ code, severity: 'problem' }] });
  });

  it('names Valkey with its own version', async () => {
    const { server } = await diagnosed({ redis_version: '7.2.4', server_name: 'valkey', valkey_version: '8.1.3' });
    expect(server).toBe('Valkey 8.1.3');
  });

  it.each([-3_600_000, 90_000])('tells that the clock of the server is %d ms ahead', async (ahead) => {
    const { clockDifference = 0 } = await diagnosed({}, Date.now() + ahead);
    expect(Math.abs(clockDifference - ahead)).toBeLessThan(30 * SECOND);
  });
});

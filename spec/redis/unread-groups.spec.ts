import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Logger } from 'sluice';
import { queueKeys } from '../../src/redis/keys.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { isAtLeast } from '../support/servers/server-version.js';

const run = promisify(execFile);

describeWithRedis('A group that is neither declared nor read', () => {
  const suite = new RedisSuite();

  /** A queue on which group `audit` has so many messages, and the process that declared it is gone. */
  const retaining = async (count: number, name = suite.name, group = 'audit') => {
    const queue = suite.open({ name, groups: ['billing', group] });
    await queue.stats();
    for (let n = 1; n <= count; n++) await queue.publish('key', { n });
    await queue.close();
  };

  /** What a backend warns of, by its first look, and later. */
  const opened = async (options: object = {}) => {
    const warnings: [message: string, details: object | undefined][] = [];
    const logger: Logger = {
      debug() {},
      error() {},
      warn: (message, details) => void warnings.push([message, details as object | undefined]),
    };
    const queue = suite.open({ groups: ['billing'], logger, ...options });
    await queue.stats();
    return { queue, warnings };
  };

  /** What the warning says. Before 7.0, the server does not tell how much a group has not read: at most what the queue holds. */
  const retains = (count: number, held = count) => {
    const tells = isAtLeast('redis-server', [7, 0]);
    const most = tells ? count : held;
    return `retains ${tells ? '' : 'up to '}${most} ${most === 1 ? 'message' : 'messages'} and`;
  };

  it('is told of once, with what it retains and how to delete it', async () => {
    await retaining(3);
    const { queue, warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings).toEqual([
      [
        `Group "audit" of queue "${suite.name}" has no consumer and is not declared here. It ${retains(3)} every message to come. ` +
          `Declare it and consume for it, or delete it: redis-cli XGROUP DESTROY ${suite.name} audit`,
        { queue: suite.name, group: 'audit' },
      ],
    ]);
    await suite.disconnect();
    await queue.stats();
    await queue.publish('key', { n: 4 });
    await queue.stats();
    expect(warnings.filter(([message]) => message.includes('audit'))).toHaveLength(1);
  });

  it('is told of where a backend declares no groups', async () => {
    await retaining(1);
    const { warnings } = await opened({ groups: undefined });
    await eventually(() => warnings.length === 2);
    expect(warnings.map(([message]) => message)).toEqual([
      expect.stringMatching(`Group "audit".* ${retains(1)}`),
      expect.stringContaining('Group "billing"'),
    ]);
  });

  it('does not count what is for other groups alone', async () => {
    await retaining(1);
    await (await opened()).queue.publish('key', { n: 2 }, { group: 'billing' });
    const { warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings[0]?.[0]).toContain(retains(1, 2));
  });

  it('retains at most what the queue holds, where the server does not tell', async () => {
    await retaining(3);
    const [, [id]] = (await suite.run('XRANGE', suite.name, '-', '+')) as [unknown, [string]];
    await suite.run('XDEL', suite.name, id);
    await suite.run('XGROUP', 'SETID', suite.name, 'audit', '0');
    const { warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings[0]?.[0]).toContain('retains up to 2 messages and');
  });

  it('is none that another process consumes for, busy or idle', async () => {
    const other = suite.open({ groups: ['audit', 'idle', 'unread'], lease: 60_000 });
    const busy = new Holder(other, { group: 'audit' });
    await other.publish('key', { n: 1 });
    void new Holder(other, { group: 'idle' }, (delivery) => void delivery.ack());
    await eventually(
      async () => busy.deliveries.length === 1 && (await other.stats({ group: 'idle' })).unfinished === 0,
    );
    const { warnings } = await opened();
    // The groups are looked at in the order of their names.
    await eventually(() => warnings.length > 0);
    expect(warnings.map(([message]) => message)).toEqual([expect.stringContaining('Group "unread"')]);
  });

  it('may have had a consumer whose lease expired', async () => {
    await retaining(1);
    await suite.run('XREADGROUP', 'GROUP', 'audit', 'dead~1', 'COUNT', '1', 'STREAMS', suite.name, '>');
    await eventually(async () => {
      const [consumer] = (await suite.run('XINFO', 'CONSUMERS', suite.name, 'audit')) as [unknown[]];
      return Number(consumer[consumer.indexOf('idle') + 1]) > 1;
    });
    const { warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings[0]?.[0]).toContain(retains(1));
  });

  it('does not keep a user without the right to look from using the queue', async () => {
    await retaining(1);
    await suite.run(
      'ACL',
      'SETUSER',
      'app',
      'reset',
      'on',
      '>secret',
      '~*',
      '+@all',
      '-xinfo',
      '+xinfo|groups',
      '+xinfo|stream',
    );
    suite.ending(() => suite.run('ACL', 'DELUSER', 'app'));
    const logger = recordingLogger();
    const { queue } = await opened({ url: suite.url.replace('redis://', 'redis://app:secret@'), logger });
    await queue.publish('key', { n: 2 });
    const failures = () => logger.debugs.filter((line) => !line.includes(' is on '));
    await eventually(() => failures().length > 0);
    expect(failures()).toEqual([expect.stringMatching(/Groups of queue .* without a consumer are not known.*NOPERM/)]);
    expect([...logger.warnings, ...logger.errors]).toEqual([]);
  });

  it.each([
    'plain',
    'with space',
    "it's",
    '$HOME `id` "x" \\ * ! #',
    '-n',
    '{a}',
    'ü😀',
    'line\nbreak\t\u0007',
    '\u0000\u0085',
  ])('is deleted by the command of the warning, as it stands: %j', async (odd) => {
    await retaining(1, odd, odd);
    const { warnings } = await opened({ name: odd });
    await eventually(() => warnings.length === 1);
    const message = String(warnings[0]?.[0]);
    expect(message).not.toMatch(/\p{Cc}/u);
    const command = message.slice(message.indexOf('delete it: ') + 'delete it: '.length);
    const { stdout } = await run('sh', ['-c', command.replace('redis-cli', `redis-cli -p ${suite.server.port}`)]);
    expect(stdout.trim()).toBe('1');
    const infos = (await suite.run('XINFO', 'GROUPS', queueKeys(odd).stream)) as [string, string][];
    expect(infos.map(([, name]) => name)).toEqual(['billing']);
    await suite.run('FLUSHALL');
  });
});

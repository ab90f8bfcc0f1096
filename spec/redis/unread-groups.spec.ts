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

describeWithRedis('An undeclared group without consumers', () => {
  const suite = new RedisSuite();

  /** Makes `group` retain `count` messages. The process that declared it is closed. */
  const retaining = async (count: number, name = suite.name, group = 'audit') => {
    const queue = suite.open({ name, groups: ['billing', group] });
    await queue.stats();
    for (let n = 1; n <= count; n++) await queue.publish('key', { n });
    await queue.close();
  };

  /** Opens a backend and records its warnings. */
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

  /**
   * The text of the warning. Before 7.0, the server does not know how many messages are unread: at
   * most all.
   */
  const retains = (count: number, held = count) => {
    const tells = isAtLeast('redis-server', [7, 0]);
    const most = tells ? count : held;
    return `retains ${tells ? '' : 'up to '}${most} ${most === 1 ? 'message' : 'messages'} and`;
  };

  it('causes one warning with its number of messages and the command to delete it', async () => {
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

  it('causes a warning if a backend declares no groups', async () => {
    await retaining(1);
    const { warnings } = await opened({ groups: undefined });
    await eventually(() => warnings.length === 2);
    expect(warnings.map(([message]) => message)).toEqual([
      expect.stringMatching(`Group "audit".* ${retains(1)}`),
      expect.stringContaining('Group "billing"'),
    ]);
  });

  it('does not retain messages for other groups', async () => {
    await retaining(1);
    await (await opened()).queue.publish('key', { n: 2 }, { group: 'billing' });
    const { warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings[0]?.[0]).toContain(retains(1, 2));
  });

  it('is reported with at most the length of the queue if the server does not know its number', async () => {
    await retaining(3);
    const [, [id]] = (await suite.run('XRANGE', suite.name, '-', '+')) as [unknown, [string]];
    await suite.run('XDEL', suite.name, id);
    await suite.run('XGROUP', 'SETID', suite.name, 'audit', '0');
    const { warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings[0]?.[0]).toContain('retains up to 2 messages and');
  });

  it('is not reported if another process consumes for it, busy or idle', async () => {
    const other = suite.open({ groups: ['audit', 'idle', 'unread'], lease: 60_000 });
    const busy = new Holder(other, { group: 'audit' });
    await other.publish('key', { n: 1 });
    void new Holder(other, { group: 'idle' }, (delivery) => void delivery.ack());
    await eventually(
      async () => busy.deliveries.length === 1 && (await other.stats({ group: 'idle' })).unfinished === 0,
    );
    const { warnings } = await opened();
    // The groups are checked in the order of their names.
    await eventually(() => warnings.length > 0);
    expect(warnings.map(([message]) => message)).toEqual([expect.stringContaining('Group "unread"')]);
  });

  it('is reported if the lease of its last consumer has expired', async () => {
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

  it('is not reported if the user may not check, and the queue still works', async () => {
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
    expect(failures()).toEqual([expect.stringMatching(/cannot check for groups without a consumer.*NOPERM/)]);
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
  ])('is deleted by the command of the warning: %j', async (odd) => {
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

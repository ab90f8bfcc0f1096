import { execFile } from 'node:child_process';
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';
import { findCommand } from '../support/servers/find-command.js';

const run = promisify(execFile);

describeWithPostgres('An undeclared group without consumers in PostgreSQL', () => {
  const suite = new PostgresSuite();

  /** Makes `group` retain `count` messages. The process that declared it is closed. */
  const retaining = async (count: number, group = 'audit', name = suite.name) => {
    const queue = suite.open({ name, groups: ['billing', group] });
    await queue.stats();
    for (let n = 1; n <= count; n++) await queue.publish('key', { n });
    await queue.close();
  };

  const opened = async (options: object = {}) => {
    const logger = recordingLogger();
    const queue = suite.open({ groups: ['billing'], logger, ...options });
    await queue.stats();
    return { queue, warnings: logger.warnings };
  };

  it('causes one warning with its number of messages and the command to delete it', async () => {
    await retaining(3);
    const { queue, warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings).toEqual([
      `Group "audit" of queue "${suite.name}" has no consumer and is not declared here. It retains 3 messages and every message to come. ` +
        `Declare it and consume for it, or delete it: psql -c 'SELECT "sluice".delete_group('\\''${suite.name}'\\'', '\\''audit'\\'')'`,
    ]);
    await suite.disconnect();
    await eventually(() =>
      queue.stats().then(
        () => true,
        () => false,
      ),
    );
    await queue.publish('key', { n: 4 });
    expect(warnings.filter((message) => message.includes('audit'))).toHaveLength(1);
  });

  it.each(['audit', `it's "x" $HOME \`id\` \\ 😀`, 'a\0b', '-x; --'])(
    'is deleted by the command: %j',
    async (group) => {
      const name = `${suite.name} ${group}`;
      await retaining(2, group, name);
      const { queue, warnings } = await opened({ name });
      await eventually(() => warnings.length === 1);
      const command = warnings[0]?.split('delete it: ')[1] ?? '';
      const folder = path.dirname(await realpath(String(findCommand('postgres'))));
      const { stdout } = await run('sh', ['-c', command], {
        env: {
          PATH: `${folder}:${process.env.PATH}`,
          PGHOST: '127.0.0.1',
          PGPORT: String(suite.server.port),
          PGUSER: 'postgres',
        },
      });
      expect(stdout).toMatch(/delete_group[\s\S]* t\n/);
      expect(await queue.groups()).toMatchObject([{ name: 'billing', unfinished: 2 }]);
    },
  );

  it('is not reported if another process consumes for it, busy or idle', async () => {
    const other = suite.open({ groups: ['audit', 'idle', 'unread'] });
    const busy = new Holder(other, { group: 'audit' });
    await other.publish('key', { n: 1 });
    void new Holder(other, { group: 'idle' }, (delivery) => void delivery.ack());
    await eventually(
      async () => busy.deliveries.length === 1 && (await other.stats({ group: 'idle' })).unfinished === 0,
    );
    const { warnings } = await opened();
    await eventually(() => warnings.length > 0);
    expect(warnings).toEqual([expect.stringContaining('Group "unread"')]);
  });

  it('is reported if the lease of its last consumer has expired', async () => {
    const { proxy, url } = await suite.proxy();
    const holder = new Holder(suite.open({ url, groups: ['billing', 'audit'], lease: 200 }), { group: 'audit' });
    await suite.open({ groups: ['billing', 'audit'] }).publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await proxy.refuse();
    proxy.cut();
    await eventually(
      async () => (await suite.run('SELECT FROM sluice.consumers WHERE expires > clock_timestamp()')).length === 0,
    );
    const { warnings } = await opened();
    await eventually(() => warnings.length === 1);
    expect(warnings[0]).toContain('retains 1 message and');
  });
});

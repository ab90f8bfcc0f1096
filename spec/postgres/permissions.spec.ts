import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { migrations } from 'sluice/postgres';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { exercisePostgres } from '../support/postgres-exercise.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { ROOT } from '../support/root.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

/** What the role of the application needs, after the owner has run the SQL of `migrations()`. */
const GRANTS = `
GRANT USAGE ON SCHEMA sluice TO app;
GRANT SELECT ON sluice.version TO app;
GRANT SELECT, INSERT, UPDATE ON sluice.queues TO app;
GRANT SELECT, INSERT, DELETE ON sluice.cursors, sluice.batches TO app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sluice.groups, sluice.messages, sluice.unplaced, sluice.claims, sluice.requeued, sluice.consumers, sluice.ids TO app;
GRANT INSERT ON sluice.quarantine TO app;`;

/** Each right on a table, as `SELECT ON sluice.version`. */
const RIGHTS = [...GRANTS.matchAll(/GRANT (.*) ON (sluice\..*) TO/g)].flatMap(([, rights = '', tables = '']) =>
  tables.split(', ').flatMap((table) => rights.split(', ').map((right) => `${right} ON ${table}`)),
);

describeWithPostgres('A role with the least rights', () => {
  const suite = new PostgresSuite({ password: 'hush' });
  const login = (user: string) => suite.url.replace('//sluice:hush@', `//${user}:secret@`);

  const open = (groups: readonly string[]) => suite.open({ url: login('app'), groups, migrate: false });

  beforeAll(async () => {
    for (const sql of migrations()) await suite.run(sql);
    await suite.run("CREATE ROLE app LOGIN PASSWORD 'secret'");
    await suite.run('REVOKE ALL ON SCHEMA public FROM PUBLIC');
  });

  beforeEach(async () => {
    for (const sql of GRANTS.trim().split('\n')) await suite.run(sql);
  });

  it('can use every feature', async () => {
    await exercisePostgres(suite, open, login('app'));
    expect(await suite.tables()).toEqual({ messages: 0, pending: 0, unplaced: 0 });
  });

  it('can use every feature with `create: false`', async () => {
    await suite.open({ groups: ['a', 'b'] }).stats();
    const url = login('app');
    await exercisePostgres(suite, (groups) => suite.open({ url, groups, create: false }), url);
  });

  it('can diagnose and delete the queue with the rights that the guide adds', async () => {
    const guide = await readFile(path.join(ROOT, 'docs/guides/on-postgresql.md'), 'utf8');
    const [, section = ''] = /## Diagnosis and deletion([\s\S]*?)\n## /.exec(guide) ?? [];
    const added = section.match(/^GRANT .*;$/gm) ?? [];
    expect(added).toHaveLength(4);
    const queue = open(['a']);
    await queue.publish('key', { n: 1 });
    const codes = async () => (await queue.diagnose()).findings.map(({ code }) => code);
    expect(await codes()).toEqual(expect.arrayContaining(['postgres-activity-hidden', 'postgres-quarantine-refused']));
    expect((await failureOf(queue.deleteQueue())).message).toContain('permission denied for table quarantine');
    for (const sql of added) await suite.run(sql);
    suite.ending(() => suite.run('REVOKE SELECT, DELETE ON sluice.quarantine FROM app'));
    suite.ending(() => suite.run('REVOKE DELETE ON sluice.queues FROM app'));
    // The server of the suite does not synchronise its files.
    expect(await codes()).toEqual(['postgres-fsync', 'postgres-full-page-writes']);
    await queue.deleteQueue();
    expect(await suite.run('SELECT FROM sluice.queues WHERE name = $1', [suite.name])).toEqual([]);
  });

  it.each(RIGHTS)('needs %s, and the error says so', async (right) => {
    await suite.run(`REVOKE ${right} FROM app`);
    const error = await failureOf(exercisePostgres(suite, open, login('app')));
    expect(error.message).toMatch(new RegExp(`permission denied for table ${right.replace(/.*\./, '')}`));
  });

  it('sees in the error of each call that it may not do something', async () => {
    await suite.run('REVOKE INSERT ON sluice.messages FROM app');
    await suite.run('REVOKE SELECT ON sluice.requeued FROM app');
    const logger = recordingLogger();
    const queue = suite.open({ url: login('app'), migrate: false, logger });
    const fatal = { name: 'BackendUnavailableError', retryable: false };
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      ...fatal,
      message: expect.stringContaining(
        'The role may not do what the queue needs: permission denied for table messages',
      ),
    });
    expect(await failureOf(queue.stats())).toMatchObject({
      ...fatal,
      message: expect.stringContaining('table requeued'),
    });
    const holder = new Holder(queue);
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toMatchObject({ ...fatal, message: expect.stringContaining('table requeued') });
    expect([...logger.errors, ...logger.warnings].join()).not.toContain('secret');
    for (const sql of GRANTS.trim().split('\n')) await suite.run(sql);
    await queue.publish('key', { n: 1 });
    const next = new Holder(queue, {}, (delivery) => void delivery.ack());
    await eventually(() => next.deliveries.length === 1);
  });

  it('cannot create the tables, and says so', async () => {
    const queue = suite.open({ url: login('app'), schema: 'another' });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({
      retryable: false,
      message: expect.stringMatching(/The role may not do what the queue needs: permission denied for database/),
    });
  });

  it('may leave the option `migrate` on if the tables exist', async () => {
    await suite.open({ url: login('app') }).publish('key', {});
    expect(await suite.tables()).toMatchObject({ messages: 1 });
  });

  it('cannot do anything without a right on the schema', async () => {
    await suite.run('REVOKE ALL ON SCHEMA sluice FROM app');
    expect(await failureOf(open(['a']).stats())).toMatchObject({
      retryable: false,
      message: expect.stringContaining('permission denied for schema sluice'),
    });
  });

  it('is not affected by a search path, and objects of the same names in it', async () => {
    await suite.run('CREATE SCHEMA decoy AUTHORIZATION app');
    await suite.run('CREATE TABLE decoy.messages (queue text); CREATE TABLE decoy.groups (id text)');
    await suite.run('ALTER ROLE app SET search_path = decoy, public');
    suite.ending(async () => {
      await suite.run('ALTER ROLE app RESET search_path');
      await suite.run('DROP SCHEMA decoy CASCADE');
    });
    await exercisePostgres(suite, open, login('app'));
  });
});

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { linesOf, shown } from '../support/cli-suite.js';

/** Each command starts a database of its own, which takes seconds: these tests run few of them. */
describe('sluice on an embedded PostgreSQL', () => {
  let folder: string;
  let cli: Cli;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-cli-'));
    cli = new Cli({ QUEUE_BACKEND: 'postgres', POSTGRES_URL: `pglite:${folder}/database`, QUEUE_NAME: 'orders' });
  });

  afterEach(async () => {
    cli.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('keeps messages from one command to the next, also after a signal', async () => {
    const published = await cli.runWith(linesOf([1, 2, 3]), 'publish', '-');
    expect(published).toEqual({ code: 0, out: '{"confirmed":3}\n', err: '' });
    const consumed = await cli.run('consume', '--ack', '--limit', '1');
    expect([consumed.code, shown(consumed.out), consumed.err]).toEqual([0, [[1, 1]], '']);
    const consume = cli.start('consume');
    await consume.printed(2);
    consume.child.kill('SIGINT');
    expect(await consume.ended()).toMatchObject({ code: 0, err: '' });
    const { code, out } = await cli.run('peek');
    expect({ code, messages: shown(out) }).toEqual({
      code: 0,
      messages: [
        [2, 1],
        [3, 1],
      ],
    });
  });

  it('runs every command', async () => {
    cli = new Cli({
      QUEUE_BACKEND: 'postgres',
      POSTGRES_URL: `pglite:${folder}/database`,
      QUEUE_NAME: 'orders',
      QUEUE_GROUPS: 'billing,audit',
    });
    expect(await cli.values('publish', 'orders.created', '{"n":1}')).toEqual([{ confirmed: 1 }]);
    const counts = (ready: number) => ({ ready, unfinished: ready });
    const groups = [
      { name: 'audit', declared: true, consumers: 0, ...counts(1) },
      { name: 'billing', declared: true, consumers: 0, ...counts(1) },
    ];
    expect(await cli.values('stats')).toEqual([{ queue: 'orders', ...counts(1), groups }]);
    expect(await cli.values('groups')).toEqual(groups);

    const letter = {
      key: 'orders.created',
      payload: { n: 2 },
      headers: { 'sluice-queue': 'orders', 'sluice-group': 'audit' },
    };
    await cli.runWith(JSON.stringify(letter), 'publish', '-', '--name', 'orders.failed');
    const replay = ['replay', 'orders.failed', '--key', 'orders.created'];
    expect(await cli.values(...replay, '--dry-run')).toMatchObject([
      { payload: { n: 2 }, to: 'orders', group: 'audit' },
    ]);
    expect(await cli.values(...replay)).toEqual([{ replayed: 1 }]);
    const { out } = await cli.run('consume', '--group', 'audit', '--ack', '--limit', '2');
    expect(shown(out)).toEqual([
      [1, 1],
      [2, 1],
    ]);

    expect(await cli.values('purge', '--group', 'billing', '--yes')).toEqual([{ removed: 1 }]);
    const deleted = await cli.run('delete-group', 'billing', '--yes', '--groups', 'audit');
    expect(deleted).toEqual({ code: 0, out: '{"deleted":"billing"}\n', err: '' });
    const doctor = await cli.run('doctor', '--groups', 'audit');
    expect(JSON.parse(doctor.out)).toMatchObject({
      queue: 'orders',
      server: expect.stringMatching(/^PGlite /),
      clients: { '@electric-sql/pglite': expect.any(String) },
    });
    expect(await cli.values('bench', '--messages', '100')).toMatchObject([{ messages: 100 }]);
    const watch = cli.start('stats', '--watch', '--groups', 'audit');
    await watch.printed(2);
    watch.child.kill('SIGINT');
    expect(await watch.ended()).toMatchObject({ code: 0, err: '' });
    expect(JSON.parse(watch.lines[1] ?? '')).toMatchObject({ queue: 'orders', status: 'connected', ...counts(0) });
  });

  it('says that the queue does not exist, and creates no database', async () => {
    const { code, out, err } = await cli.run('stats');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^error: [^\n]*"orders"[^\n]*does not exist[^\n]*\n$/);
    expect(await readdir(folder)).toEqual([]);
  });
});

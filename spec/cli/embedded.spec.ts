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

  it('says that the queue does not exist, and creates no database', async () => {
    const { code, out, err } = await cli.run('stats');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^error: [^\n]*"orders"[^\n]*does not exist[^\n]*\n$/);
    expect(await readdir(folder)).toEqual([]);
  });
});

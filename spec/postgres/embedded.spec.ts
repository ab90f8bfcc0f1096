import { randomUUID } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, realpathSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import path from 'node:path';
import { PGlite } from '@electric-sql/pglite';
import { receive } from 'sluice';
import { PostgresBackend, type PostgresBackendOptions } from 'sluice/postgres';
import { GROUPS, holds, type Stage } from '../support/interleavings.js';
import { failureOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { Program } from '../support/run-example.js';

const root = realpathSync(mkdtempSync(path.join(tmpdir(), 'sluice-embedded-')));
const template = path.join(root, 'template');
const endings: (() => unknown)[] = [];
let folders = 0;

/** A folder with a database. The first start of an empty one takes seconds. */
function newFolder(): string {
  const folder = path.join(root, String(++folders));
  cpSync(template, folder, { recursive: true });
  return folder;
}

function open(folder: string, options: Partial<PostgresBackendOptions> = {}): PostgresBackend {
  const url = options.client === undefined ? `pglite:${folder}` : undefined;
  const queue = new PostgresBackend({ url, logger: silentLogger, ...options });
  endings.push(() => queue.close());
  return queue;
}

function start(folder: string, env: Record<string, string> = {}): Program {
  const program = new Program('spec/postgres/fixtures/publisher.ts', {
    QUEUE_BACKEND: 'postgres',
    POSTGRES_URL: `pglite:${folder}`,
    ...env,
  });
  endings.push(() => program.interrupt('SIGKILL'));
  return program;
}

const locksIn = (folder: string) => readdirSync(folder).filter((name) => name.startsWith('lock-'));
const lockOf = (pid: number | undefined, host = hostname()) => `lock-${pid}@${host}`;

beforeAll(async () => {
  const queue = new PostgresBackend({ url: `pglite:${template}`, logger: silentLogger });
  await queue.stats();
  await queue.close();
});

afterEach(async () => {
  for (const end of endings.splice(0)) await end();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

describe('An embedded PostgreSQL in a folder', () => {
  it('keeps messages when it is closed, and unlocks the folder', async () => {
    const folder = newFolder();
    const first = open(folder);
    await first.publish('n', { n: 1 });
    expect(locksIn(folder)).toEqual([lockOf(process.pid)]);
    await first.close();
    expect(locksIn(folder)).toEqual([]);
    expect((await receive(open(folder))).payload).toEqual({ n: 1 });
  });

  it('keeps messages when its process is killed, and takes its lock over', async () => {
    const folder = newFolder();
    const killed = start(folder, { STAYS: 'true' });
    await killed.printed('published');
    killed.interrupt('SIGKILL');
    await killed.exited();
    expect(locksIn(folder)).toEqual([expect.stringMatching(/^lock-/)]);
    expect(await open(folder).stats()).toEqual({ ready: 5, unfinished: 5 });
    expect(locksIn(folder)).toEqual([lockOf(process.pid)]);
  });

  it('is shared by the backends of a process, however they write the folder', async () => {
    const folder = newFolder();
    const [one, other] = [open(folder), open(path.relative('', folder))];
    const received = receive(other);
    await one.publish('n', { n: 1 });
    await (await received).ack();
    await one.close();
    await other.publish('n', { n: 2 });
    expect(await other.stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('refuses a second process, until the first has closed it', async () => {
    const folder = newFolder();
    const queue = open(folder);
    await queue.publish('n', { n: 1 });
    const refused = start(folder);
    expect(await refused.exited()).toBe(0);
    expect(refused.output).toContain(`Process ${process.pid} on ${hostname()} uses the folder ${folder}: `);
    expect(locksIn(folder)).toEqual([lockOf(process.pid)]);
    await queue.publish('n', { n: 2 });
    await queue.close();
    const admitted = start(folder);
    expect(await admitted.exited()).toBe(0);
    expect(admitted.output).toContain('published');
    expect(await open(folder).stats()).toEqual({ ready: 7, unfinished: 7 });
  });

  it('is opened again while it closes', async () => {
    const folder = newFolder();
    const first = open(folder);
    await first.publish('n', { n: 1 });
    const closed = first.close();
    const others = [open(folder), open(folder)];
    await Promise.all([closed, ...others.map((other, n) => other.publish('n', { n }))]);
    expect(await others[0]?.stats()).toEqual({ ready: 3, unfinished: 3 });
  });

  it('takes over the lock of an earlier process with its own number, and no other', async () => {
    const folder = newFolder();
    const file = path.join(folder, lockOf(process.pid));
    writeFileSync(file, '');
    const queue = open(folder);
    // Another thread of this process may use the folder.
    const { message } = await failureOf(queue.publish('n', {}));
    expect(message).toContain(`If there is no such process, delete ${file}`);
    utimesSync(file, 1, 1);
    await queue.publish('n', {});
  });

  it('does not take over a lock of another host', async () => {
    const folder = newFolder();
    writeFileSync(path.join(folder, lockOf(1, 'another')), '');
    const error = await failureOf(open(folder).publish('n', {}));
    expect(error).toMatchObject({ retryable: false, message: expect.stringContaining('Process 1 on another uses') });
    expect(locksIn(folder)).toEqual([lockOf(1, 'another')]);
  });

  it('rejects publishes at once if the folder cannot be used', async () => {
    const error = await failureOf(open(__filename).publish('n', {}));
    expect(error).toMatchObject({ code: 'SLUICE_BACKEND_UNAVAILABLE', retryable: false });
  });
});

describe('A PGlite of the application', () => {
  let db: PGlite;

  beforeAll(async () => {
    db = await PGlite.create(path.join(newFolder(), 'data'));
  });

  afterAll(() => db.close());

  it('wakes consumers by notifications, and stays open', async () => {
    const name = randomUUID();
    const [one, other] = [open('', { client: db, name }), open('', { client: db, name })];
    for (let n = 0; n < 3; n++) {
      const received = receive(n === 1 ? other : one);
      await db.query('SELECT 1');
      await one.publish('n', { n });
      await (await received).ack();
    }
    await other.close();
    const received = receive(one);
    await one.publish('n', { n: 3 });
    await (await received).ack();
    await one.close();
    expect((await db.query('SELECT 1 AS n')).rows).toEqual([{ n: 1 }]);
    expect((await db.query('SELECT pg_listening_channels()')).rows).toEqual([]);
  });

  it('publishes within a transaction, if it commits', async () => {
    const queue = open('', { client: db, name: randomUUID() });
    await db.transaction(async (tx) => {
      await queue.within(tx).publish('n', { n: 1 });
      await tx.rollback();
    });
    await db.transaction((tx) => queue.within(tx).publish('n', { n: 2 }));
    expect((await receive(queue)).payload).toEqual({ n: 2 });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
  });

  it('loses, duplicates and reorders no message in random interleavings of calls', async () => {
    const suite = { name: '' };
    const left = async () =>
      (
        await db.query('SELECT place FROM sluice.messages JOIN sluice.queues q ON q.id = queue WHERE q.name = $1', [
          suite.name,
        ])
      ).rows;
    const stage: Stage = {
      suite,
      open: () => open('', { client: db, name: suite.name, groups: GROUPS }),
      cut: () => {},
      delays: [3, 15],
      waits: [0, 1, 5],
      exactAttempts: true,
      exactOverCuts: true,
      patience: 15_000,
      emptied: async () => expect(await left()).toEqual([]),
      left,
    };
    await holds(stage, { cuts: false, numRuns: 10 });
  });
});

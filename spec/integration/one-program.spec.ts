import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Program } from '../support/run-example.js';
import type { FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';

const EXPECTED = [
  'given up: order 13 after 3 attempts',
  'order 13, attempt 2: retried',
  'order 13, attempt 3: dead-lettered',
  'order 7, attempt 2: acked',
  'billed: 19, audited: 20, order 5 after its delay: true',
  '{ ready: 0, unfinished: 0 } { ready: 0, unfinished: 0 }',
  '',
].join('\n');

/** Runs the same program. Only the variables that select the queue differ. */
async function run(backend: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const program = new Program('examples/any-backend.ts', {
    ...env,
    QUEUE_BACKEND: backend,
    QUEUE_NAME: 'orders',
    QUEUE_GROUPS: 'billing,audit',
  });
  expect(await program.exited()).toBe(0);
  return program.printedLines;
}

/** Runs the program twice. On a broker, the queues still exist the second time. */
function runsTwice(backend: string, variable: string, start: () => Promise<FaultyServer>): void {
  let server: FaultyServer;

  beforeAll(async () => {
    server = await start();
  });

  afterAll(() => server.stop());

  it('prints the same output every time', async () => {
    expect(await run(backend, { [variable]: server.url })).toBe(EXPECTED);
    expect(await run(backend, { [variable]: server.url })).toBe(EXPECTED);
  });
}

describe('One program in memory', () => {
  it('prints the same output', async () => {
    expect(await run('memory')).toBe(EXPECTED);
  });
});

describe('One program on an embedded PostgreSQL', () => {
  it('prints the same output in memory, and every time in a folder', async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'sluice-one-program-'));
    try {
      for (const place of ['memory', folder, folder])
        expect(await run('postgres', { POSTGRES_URL: `pglite:${place}` })).toBe(EXPECTED);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describeWithEveryEngine('One program on %s', (broker, { name, variable }) =>
  runsTwice(name, variable, () => broker.start()),
);

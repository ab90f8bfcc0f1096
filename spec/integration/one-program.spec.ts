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

/** The same program, with nothing changed but what says where the queue is. */
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

/** On a broker the queues are still there when it runs for the second time. */
function runsTwice(backend: string, variable: string, start: () => Promise<FaultyServer>): void {
  let server: FaultyServer;

  beforeAll(async () => {
    server = await start();
  });

  afterAll(() => server.stop());

  it('prints what it prints on every backend, again and again', async () => {
    expect(await run(backend, { [variable]: server.url })).toBe(EXPECTED);
    expect(await run(backend, { [variable]: server.url })).toBe(EXPECTED);
  });
}

describe('One program on memory', () => {
  it('prints what it prints on every backend', async () => {
    expect(await run('memory')).toBe(EXPECTED);
  });
});

describeWithEveryEngine('One program on %s', (broker, { name, variable }) =>
  runsTwice(name, variable, () => broker.start()),
);

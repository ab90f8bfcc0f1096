import { Program } from '../support/run-example.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { RedisServer } from '../support/servers/redis-server.js';

const EXPECTED = [
  'given up: order 13 after 3 attempts',
  'order 13, attempt 2: retried',
  'order 13, attempt 3: dead-lettered',
  'order 7, attempt 2: acked',
  'billed: 19, audited: 20, the last of them order 5',
  '{ ready: 0, unfinished: 0 } { ready: 0, unfinished: 0 }',
  '',
].join('\n');

/** The same program, with nothing changed but QUEUE_BACKEND. */
async function run(backend: string, redisUrl: string): Promise<string> {
  const env = { QUEUE_BACKEND: backend, REDIS_URL: redisUrl, QUEUE_NAME: 'orders', QUEUE_GROUPS: 'billing,audit' };
  const program = new Program('examples/any-backend.ts', env);
  expect(await program.exited()).toBe(0);
  return program.printedLines;
}

describe('One program on memory', () => {
  it('prints what it prints on every backend', async () => {
    expect(await run('memory', '')).toBe(EXPECTED);
  });
});

describeWithRedis('One program on Redis', () => {
  let server: RedisServer;

  beforeAll(async () => {
    server = await RedisServer.start();
  });

  afterAll(() => server.stop());

  it('prints what it prints on every backend, again and again', async () => {
    expect(await run('redis', server.url)).toBe(EXPECTED);
    expect(await run('redis', server.url)).toBe(EXPECTED);
  });
});

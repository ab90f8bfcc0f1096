import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BackendUnavailableError } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { bulk, StrangeServer, speakRedis } from '../support/servers/strange-server.js';

/** Far beyond what an error takes that is given at once, and far below the timeout of the publishes here. */
const AT_ONCE = 10_000;

const endings: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

function open(port: number, publishTimeout = 20_000) {
  const logger = recordingLogger();
  const queue = new RedisBackend({ url: `redis://user:s3cret@127.0.0.1:${port}`, name: 'strange', publishTimeout, lease: 300, logger });
  endings.push(() => queue.close());
  return { queue, logger, said: () => [...logger.debugs, ...logger.warnings, ...logger.errors].join('\n') };
}

async function start(serve: Parameters<typeof StrangeServer.start>[0]): Promise<StrangeServer> {
  const server = await StrangeServer.start(serve);
  endings.push(() => server.stop());
  return server;
}

/** Publishes and consumes: both have to fail for good, soon, and to say why. */
async function failsAtOnce(port: number, why: RegExp): Promise<void> {
  const { queue, said } = open(port);
  const before = performance.now();
  const holder = new Holder(queue);
  const failures = [await failureOf(queue.publish('key', {})), await failureOf(queue.stats())];
  await eventually(() => holder.error !== undefined);
  expect(performance.now() - before).toBeLessThan(AT_ONCE);
  for (const error of [...failures, holder.error as Error]) {
    expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: false, message: expect.stringMatching(why) });
    expect(error.message).toContain('"strange"');
    expect(error.message).toContain(`127.0.0.1:${port}`);
    expect(`${error.message} ${String(error.cause)}`).not.toContain('s3cret');
  }
  expect(said()).not.toContain('s3cret');
}

/** Publishes: it may become better, so that fails after its time, and says why. */
async function failsInTime(port: number, why: RegExp, publishTimeout = 500): Promise<void> {
  const { queue, logger, said } = open(port, publishTimeout);
  const holder = new Holder(queue);
  const [error, unanswered] = await Promise.all([failureOf(queue.publish('key', {})), failureOf(queue.stats())]);
  expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
  expect(error.message).toContain('was not enqueued');
  expect(`${error.message} ${String(error.cause)}`).toMatch(why);
  expect(unanswered).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
  expect(holder.error).toBeUndefined();
  expect(logger.warnings).toHaveLength(1);
  expect(said()).not.toContain('s3cret');
}

describe('A RedisBackend whose server is not Redis', () => {
  it('fails at once when it is an HTTP server', async () => {
    const server: HttpServer = createServer((_request, response) => response.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    endings.push(() => server.close());
    await failsAtOnce((server.address() as AddressInfo).port, /not a Redis server/);
  });

  it('fails at once when it greets its clients, as mail servers do', async () => {
    const { port } = await start((socket) => socket.write('220 mail.example.org ESMTP\r\n'));
    await failsAtOnce(port, /not a Redis server/);
  });

  it('fails in time when it closes every connection', async () => {
    const { port } = await start((socket) => socket.destroy());
    await failsInTime(port, /closed|ECONNRESET/i);
  });

  it('fails in time when it never answers', async () => {
    const { port } = await start(() => {});
    await failsInTime(port, /time|closed/i, 1500);
  });

  it('fails in time when there is none', async () => {
    const server = await StrangeServer.start(() => {});
    const { port } = server;
    await server.stop();
    await failsInTime(port, /ECONNREFUSED/);
  });
});

describe('A RedisBackend whose server is Redis of an old version', () => {
  const server = (info: string) => start(speakRedis(([name]) => (name === 'INFO' ? bulk(info) : '+OK\r\n')));

  it.each(['6.0.16', '5.0.14', '6.1.240', '2.8.0'])('fails at once: %s', async (version) => {
    const { port } = await server(`# Server\r\nredis_version:${version}\r\nredis_mode:standalone\r\n`);
    await failsAtOnce(port, new RegExp(`6\\.2.* newer.*${version.replaceAll('.', '\\.')}`));
  });

  it.each(['6.2.0', '7.0.15', '8.2.1', '10.0.0'])('takes %s', async (version) => {
    const { port } = await server(`# Server\r\nredis_version:${version}\r\n`);
    const { queue } = open(port);
    await queue.publish('key', {});
  });

  it('takes a server that does not say, or does not let its user ask', async () => {
    for (const reply of [bulk('# Server\r\n'), '-NOPERM this user has no permissions\r\n']) {
      const { port } = await start(speakRedis(([name]) => (name === 'INFO' ? reply : '+OK\r\n')));
      const { queue } = open(port);
      await queue.publish('key', {});
    }
  });
});

describe('A RedisBackend whose server becomes well', () => {
  it('is served by the same object, once what failed for good is mended', async () => {
    let version = '6.0.16';
    const server = await start(speakRedis(([name]) => (name === 'INFO' ? bulk(`redis_version:${version}\r\n`) : '+OK\r\n')));
    const { queue } = open(server.port);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false });
    version = '6.2.1';
    await queue.publish('key', {});
  });

  it('publishes what has waited, when it begins to answer', async () => {
    let well = false;
    const { port } = await start((socket) => {
      if (well) speakRedis(() => '+OK\r\n')(socket);
      else socket.destroy();
    });
    const { queue, logger } = open(port);
    const published = queue.publish('key', {});
    await eventually(() => logger.warnings.length > 0);
    well = true;
    await published;
    expect(logger.warnings.at(-1)).toContain('connected again');
  });
});

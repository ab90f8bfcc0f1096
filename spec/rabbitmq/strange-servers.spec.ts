import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BackendUnavailableError } from 'sluice';
import { RabbitMqBackend } from 'sluice/rabbitmq';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { StrangeServer } from '../support/servers/strange-server.js';

/** Far beyond what an error takes that is given at once, and far below the timeout of the publishes here. */
const AT_ONCE = 10_000;

const endings: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).reverse()) await end();
});

function open(port: number, publishTimeout = 20_000, scheme = 'amqp') {
  const logger = recordingLogger();
  const queue = new RabbitMqBackend({ url: `${scheme}://user:s3cret@127.0.0.1:${port}`, name: 'strange', publishTimeout, lease: 300, logger });
  endings.push(() => queue.close());
  return { queue, logger, said: () => [...logger.debugs, ...logger.warnings, ...logger.errors].join('\n') };
}

async function start(serve: Parameters<typeof StrangeServer.start>[0]): Promise<StrangeServer> {
  const server = await StrangeServer.start(serve);
  endings.push(() => server.stop());
  return server;
}

/** Publishes and consumes: both have to fail for good, soon, and to say why. */
async function failsAtOnce(port: number, why: RegExp, scheme?: string): Promise<void> {
  const { queue, said } = open(port, 20_000, scheme);
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
  const { queue, said } = open(port, publishTimeout);
  const holder = new Holder(queue);
  const [error, unanswered] = await Promise.all([failureOf(queue.publish('key', {})), failureOf(queue.stats())]);
  expect(error).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
  expect(error.message).toContain('was not enqueued');
  expect(`${error.message} ${String(error.cause)}`).toMatch(why);
  expect(unanswered).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
  expect(holder.error).toBeUndefined();
  expect(said()).not.toContain('s3cret');
}

describe('A RabbitMqBackend whose server is not RabbitMQ', () => {
  it('fails at once when it is an HTTP server', async () => {
    const server = createServer((_request, response) => response.end('hello'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    endings.push(() => server.close());
    await failsAtOnce((server.address() as AddressInfo).port, /not a RabbitMQ server/);
  });

  it.each([
    ['greets its clients, as mail servers do', '220 mail.example.org ESMTP\r\n'],
    ['answers as Redis does', '-ERR unknown command\r\n'],
    ['speaks another version of AMQP', 'AMQP\u0003\u0001\u0000\u0000'],
    ['answers a frame that is none', `\u0001\u0000\u0000\u0000\u0000\u0000\u0004${'\u0000'.repeat(5)}`],
  ])('fails at once when it %s', async (_what, greeting) => {
    const { port } = await start((socket) => socket.end(Buffer.from(greeting, 'latin1')));
    await failsAtOnce(port, /not a RabbitMQ server/);
  });

  it('fails at once when it speaks no TLS and is asked to', async () => {
    const { port } = await start((socket) => socket.on('data', () => socket.end('AMQP\u0000\u0000\u0009\u0001')));
    await failsAtOnce(port, /RabbitMQ cannot be used/, 'amqps');
  });

  it('fails in time when it closes every connection', async () => {
    const { port } = await start((socket) => socket.destroy());
    await failsInTime(port, /closed|ECONNRESET/i);
  });

  it('fails in time when it speaks TLS, and is not asked to', async () => {
    const { port } = await start((socket) => socket.end(Buffer.from('\u0015\u0003\u0001\u0000\u0002\u0002\u0016', 'latin1')));
    await failsInTime(port, /closed/);
  });

  it('fails in time when it never answers', async () => {
    const { port } = await start(() => {});
    await failsInTime(port, /time/i, 1500);
  });

  it('fails in time when there is none, and closes at once', async () => {
    const server = await StrangeServer.start(() => {});
    const { port } = server;
    await server.stop();
    await failsInTime(port, /ECONNREFUSED/);
  });

  it('is tried with growing pauses, and said once to be not there', async () => {
    let connections = 0;
    const { port } = await start((socket) => {
      connections++;
      socket.destroy();
    });
    const { queue, logger } = open(port, 3000);
    await failureOf(queue.publish('key', {}));
    expect(connections).toBeLessThan(15);
    expect(logger.warnings).toHaveLength(1);
  });

  it('reaches a host that is named by its address of IPv6', async () => {
    const logger = recordingLogger();
    const other = new RabbitMqBackend({ url: 'amqp://[::1]:1', publishTimeout: 300, logger });
    endings.push(() => other.close());
    expect((await failureOf(other.publish('key', {}))).message).toMatch(/ECONNREFUSED|EADDRNOTAVAIL|EAFNOSUPPORT/);
  });
});

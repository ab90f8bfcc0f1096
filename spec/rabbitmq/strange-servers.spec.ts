import { RabbitMqBackend } from 'sluice/rabbitmq';
import { failureOf } from '../support/promises.js';
import { RABBITMQ } from '../support/provider.js';
import { absentServers, StrangeServers } from '../support/strange-servers.js';

const strange = new StrangeServers(RabbitMqBackend, RABBITMQ);

describe('RabbitMqBackend when its server is not RabbitMQ', () => {
  it('fails immediately with an HTTP server', async () => {
    await strange.failsAtOnce(await strange.startHttp(), /not a RabbitMQ server/);
  });

  it.each([
    ['sends a greeting, such as a mail server', '220 mail.example.org ESMTP\r\n'],
    ['answers like Redis', '-ERR unknown command\r\n'],
    ['speaks another version of AMQP', 'AMQP\u0003\u0001\u0000\u0000'],
    ['answers an invalid frame', `\u0001\u0000\u0000\u0000\u0000\u0000\u0004${'\u0000'.repeat(5)}`],
  ])('fails immediately with a server that %s', async (_what, greeting) => {
    const url = await strange.start((socket) => socket.end(Buffer.from(greeting, 'latin1')));
    await strange.failsAtOnce(url, /not a RabbitMQ server/);
  });

  it('fails immediately if the URL asks for TLS and the server does not speak it', async () => {
    const url = await strange.start((socket) => socket.on('data', () => socket.end('AMQP\u0000\u0000\u0009\u0001')));
    await strange.failsAtOnce(url.replace('amqp:', 'amqps:'), /RabbitMQ cannot be used/);
  });

  it('fails in time if the server speaks TLS and the URL does not ask for it', async () => {
    const url = await strange.start((socket) =>
      socket.end(Buffer.from('\u0015\u0003\u0001\u0000\u0002\u0002\u0016', 'latin1')),
    );
    await strange.failsInTime(url, /closed/);
  });

  absentServers(strange, { closing: /closed|ECONNRESET/i, silent: /time/i, none: /ECONNREFUSED/ });

  it('reconnects with a growing backoff and logs once that the server is unreachable', async () => {
    let connections = 0;
    const url = await strange.start((socket) => {
      connections++;
      socket.destroy();
    });
    const { queue, logger } = strange.open(url, 3000);
    await failureOf(queue.publish('key', {}));
    expect(connections).toBeLessThan(15);
    expect(logger.warnings).toHaveLength(1);
  });

  it('connects to a host given as an IPv6 address', async () => {
    const { queue } = strange.open('amqp://[::1]:1', 300);
    expect((await failureOf(queue.publish('key', {}))).message).toMatch(/ECONNREFUSED|EADDRNOTAVAIL|EAFNOSUPPORT/);
  });
});

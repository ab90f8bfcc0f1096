import type { Socket } from 'node:net';
import { NatsBackend } from 'sluice/nats';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { NATS } from '../support/provider.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { absentServers, StrangeServers } from '../support/strange-servers.js';

const strange = new StrangeServers(NatsBackend, NATS);

const info = (facts: object) =>
  `INFO ${JSON.stringify({ server_id: 'x', version: '2.9.10', headers: true, max_payload: 1048576, proto: 1, ...facts })}\r\n`;

/** Greets as a server of NATS does, and answers its pings. */
const greet = (facts: object) => (socket: Socket) => {
  socket.write(info(facts));
  socket.setEncoding('utf8').on('data', (text: string) => {
    for (const _ping of text.matchAll(/PING\r\n/g)) socket.write('PONG\r\n');
  });
};

describe('A NatsBackend whose server is not NATS', () => {
  it('fails with a clear error if it is an HTTP server', async () => {
    const { queue } = strange.open(await strange.startHttp(), 1500);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ name: 'BackendUnavailableError' });
  });

  it('fails immediately if it greets differently, as mail servers do', async () => {
    await strange.failsAtOnce(
      await strange.start((socket) => socket.write('220 mail.example.org ESMTP\r\n')),
      /unexpected response|not.*NATS/i,
    );
  });

  it('fails if it sends binary data', async () => {
    const url = await strange.start((socket) => socket.write(Buffer.from([0, 255, 13, 10, 1, 2, 3, 13, 10])));
    const { queue } = strange.open(url, 1500);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ name: 'BackendUnavailableError' });
  });

  it('fails if its greeting is malformed', async () => {
    const { queue } = strange.open(await strange.start((socket) => socket.write('INFO {"server_id":\r\n')), 1500);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ name: 'BackendUnavailableError' });
  });

  absentServers(strange, {
    closing: /closed|ECONNRESET|disconnect|connection/i,
    silent: /time/i,
    none: /ECONNREFUSED|refused/i,
  });

  it('leaves no connection open if it never responds, neither while it tries nor after close()', async () => {
    let connections = 0;
    let most = 0;
    const url = await strange.start((socket) => {
      connections += 1;
      most = Math.max(most, connections);
      socket.on('close', () => {
        connections -= 1;
      });
    });
    const { queue } = strange.open(url, 3500);
    await failureOf(queue.publish('key', {}));
    await queue.close();
    await eventually(() => connections === 0);
    expect(most).toBeLessThanOrEqual(2);
  });

  it('closes the connection immediately if the queue is closed before a response', async () => {
    let connections = 0;
    const url = await strange.start((socket) => {
      connections += 1;
      socket.on('close', () => {
        connections -= 1;
      });
    });
    const queue = new NatsBackend({ url, name: 'strange', logger: recordingLogger() });
    const published = failureOf(queue.publish('key', {}));
    await eventually(() => connections === 1);
    const before = performance.now();
    await queue.close();
    await published;
    await eventually(() => connections === 0);
    // The response timeout is ten seconds here.
    expect(performance.now() - before).toBeLessThan(9000);
  });

  it('fails in time if it greets, and responds to nothing else', async () => {
    await strange.failsInTime(await strange.start(greet({})), /time/i, 2500);
  });
});

describe('A NatsBackend whose server is of an old version', () => {
  it.each(['2.8.4', '2.2.0', '1.4.1'])('fails immediately: %s', async (version) => {
    await strange.failsAtOnce(
      await strange.start(greet({ version })),
      new RegExp(`2\\.9.*newer.*${version.replaceAll('.', '\\.')}`),
    );
  });

  it('fails immediately if it does not support headers', async () => {
    await strange.failsAtOnce(await strange.start(greet({ headers: false, version: '2.1.9' })), /2\.9|headers/);
  });
});

describeWithNats('A NatsBackend whose server has no JetStream', () => {
  const suite = new NatsSuite({ jetStream: false });

  it('fails immediately', async () => {
    await strange.failsAtOnce(suite.url, /JetStream/);
  });
});

describeWithNats('A NatsBackend whose account has no JetStream', () => {
  const suite = new NatsSuite({
    config: {
      accounts:
        '{ A: { jetstream: enabled, users: [{ user: a, password: a }] }, B: { users: [{ user: b, password: b }] } }',
      no_auth_user: 'a',
    },
  });

  it('fails immediately', async () => {
    await strange.failsAtOnce(suite.url.replace('nats://', 'nats://b:b@'), /JetStream/);
  });
});

describeWithNats('A NatsBackend whose server requires a user', () => {
  const suite = new NatsSuite({ user: 'app', password: 'pa:ss/w@rd? #%ü' });

  it('sends the user and password of the URL', async () => {
    const { queue } = strange.open(suite.url);
    await queue.publish('key', {});
  });

  it.each(['app:wr0ng-secret@', '', 'somebody:wr0ng-secret@', 'wr0ng-secret@'])(
    'fails immediately with the login "%s"',
    async (login) => {
      await strange.failsAtOnce(
        `nats://${login}127.0.0.1:${suite.server.port}`,
        /refused the user, the password or the token/,
      );
    },
  );

  it('shows no password if it is refused', async () => {
    const { queue, logger } = strange.open(`nats://app:wr0ng-secret@127.0.0.1:${suite.server.port}`);
    const error = await failureOf(queue.publish('key', {}));
    const shown = [
      error.message,
      error.stack,
      (error.cause as Error).stack,
      ...logger.warnings,
      ...logger.errors,
    ].join();
    expect(shown).not.toContain('wr0ng-secret');
  });
});

describeWithNats('A NatsBackend whose server requires a token', () => {
  const suite = new NatsSuite({ token: 't%ken/?#@:' });

  it('sends the token of the URL', async () => {
    const { queue } = strange.open(suite.url);
    await queue.publish('key', {});
  });

  it.each(['wr0ng@', ''])('fails immediately with the login "%s"', async (login) => {
    await strange.failsAtOnce(
      `nats://${login}127.0.0.1:${suite.server.port}`,
      /refused the user, the password or the token/,
    );
  });
});

describeWithNats('A NatsBackend whose server requires TLS', () => {
  const suite = new NatsSuite({ tls: true });

  it('fails immediately if the certificate is not trusted', async () => {
    await strange.failsAtOnce(suite.url, /certificate/);
  });

  it('fails with a clear error if its URL is one without TLS', async () => {
    await strange.failsAtOnce(suite.url.replace('tls:', 'nats:'), /certificate|TLS|secure/i);
  });

  it('trusts the certificate of a client of the user', async () => {
    const queue = suite.open({ client: await suite.client() });
    await queue.publish('key', { n: 1 });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
  });
});

describeWithNats('A NatsBackend with TLS whose server does not support it', () => {
  const suite = new NatsSuite();

  it('fails immediately', async () => {
    await strange.failsAtOnce(suite.url.replace('nats:', 'tls:'), /tls/i);
  });
});

describeWithNats('A NatsBackend with several servers in its URL', () => {
  const suite = new NatsSuite();

  it('uses the one that is running', async () => {
    const { queue } = strange.open(`nats://127.0.0.1:1,${suite.url},nats://127.0.0.1:2`);
    await queue.publish('key', {});
  });

  it('uses the one that responds', async () => {
    const silent = await strange.start(() => {});
    for (const urls of [`${silent},${suite.url}`, `${suite.url},${silent}`]) {
      const { queue } = strange.open(urls);
      await queue.publish('key', {});
    }
  });
});

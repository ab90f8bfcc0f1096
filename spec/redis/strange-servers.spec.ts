import type { Socket } from 'node:net';
import { RedisBackend } from 'sluice/redis';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { REDIS } from '../support/provider.js';
import { bulk, speakRedis } from '../support/servers/strange-server.js';
import { absentServers, StrangeServers } from '../support/strange-servers.js';

const strange = new StrangeServers(RedisBackend, REDIS);

describe('RedisBackend when its server is not Redis', () => {
  it('fails immediately with an HTTP server', async () => {
    await strange.failsAtOnce(await strange.startHttp(), /not a Redis server/);
  });

  it('fails immediately with a server that sends a greeting, such as a mail server', async () => {
    await strange.failsAtOnce(
      await strange.start((socket) => socket.write('220 mail.example.org ESMTP\r\n')),
      /not a Redis server/,
    );
  });

  absentServers(strange, { closing: /closed|ECONNRESET/i, silent: /time|closed/i, none: /ECONNREFUSED/ });
});

describe('RedisBackend with an old version of Redis', () => {
  const server = (info: string) => strange.start(speakRedis(([name]) => (name === 'INFO' ? bulk(info) : '+OK\r\n')));

  it.each(['6.0.16', '5.0.14', '6.1.240', '2.8.0'])('fails immediately: %s', async (version) => {
    const url = await server(`# Server\r\nredis_version:${version}\r\nredis_mode:standalone\r\n`);
    await strange.failsAtOnce(url, new RegExp(`6\\.2.* newer.*${version.replaceAll('.', '\\.')}`));
  });

  it.each(['6.2.0', '7.0.15', '8.2.1', '10.0.0'])('accepts %s and logs it', async (version) => {
    const url = await server(`# Server\r\nredis_version:${version}\r\nredis_git_sha1:00000000\r\n`);
    const { queue, logger } = strange.open(url);
    await queue.publish('key', {});
    expect(logger.debugs).toEqual([
      expect.stringMatching(`^Queue "strange" is on Redis ${version.replaceAll('.', '\\.')} at `),
    ]);
  });

  it('logs Valkey by its name and its own version', async () => {
    const url = await server('# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:9.1.2\r\n');
    const { queue, logger } = strange.open(url);
    await queue.publish('key', {});
    expect(logger.debugs).toEqual([expect.stringMatching(/^Queue "strange" is on Valkey 9\.1\.2 at /)]);
  });

  it('logs a version once and logs the new one after an upgrade', async () => {
    let version = '7.0.15';
    const connections = new Set<Socket>();
    const url = await strange.start((socket) => {
      connections.add(socket);
      speakRedis(([name]) => (name === 'INFO' ? bulk(`redis_version:${version}\r\n`) : '+OK\r\n'))(socket);
    });
    const { queue, logger } = strange.open(url);
    const versions = () =>
      logger.debugs.filter((line) => line.includes('is on')).map((line) => /Redis \S+/.exec(line)?.[0]);
    for (const next of ['7.0.15', '7.0.15', '8.6.3']) {
      version = next;
      for (const socket of connections) socket.destroy();
      await queue.publish('key', {});
    }
    expect(versions()).toEqual(['Redis 7.0.15', 'Redis 8.6.3']);
  });

  it('accepts a server whose version is unknown', async () => {
    for (const reply of [bulk('# Server\r\n'), '-NOPERM this user has no permissions\r\n']) {
      const url = await strange.start(speakRedis(([name]) => (name === 'INFO' ? reply : '+OK\r\n')));
      const { queue } = strange.open(url);
      await queue.publish('key', {});
    }
  });
});

describe('RedisBackend when its server recovers', () => {
  it('works again with the same object after a fatal error is fixed', async () => {
    let version = '6.0.16';
    const url = await strange.start(
      speakRedis(([name]) => (name === 'INFO' ? bulk(`redis_version:${version}\r\n`) : '+OK\r\n')),
    );
    const { queue } = strange.open(url);
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false });
    expect(await failureOf(queue.publish('key', {}))).toMatchObject({ retryable: false });
    version = '6.2.1';
    await queue.publish('key', {});
  });

  it('publishes pending messages once the server answers', async () => {
    let well = false;
    const url = await strange.start((socket) => {
      if (well) speakRedis(() => '+OK\r\n')(socket);
      else socket.destroy();
    });
    const { queue, logger } = strange.open(url);
    const published = queue.publish('key', {});
    await eventually(() => logger.warnings.length > 0);
    well = true;
    await published;
    await eventually(() => logger.warnings.some((warning) => warning.includes('Reconnected to')));
  });
});

import { createClient } from 'redis';
import { EngineErrors } from '../../src/core/engine-errors.js';
import { PublishLoop } from '../../src/core/publish-loop.js';
import { checkMessage } from '../../src/internal/check-message.js';
import { queueKeys } from '../../src/redis/keys.js';
import { Publisher } from '../../src/redis/publisher.js';
import { redisFailures } from '../../src/redis/redis-errors.js';
import { fakeTime, pass } from '../core/fakes.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { isAtLeast } from '../support/servers/server-version.js';

describeWithRedis('RedisBackend when its server refuses temporarily', () => {
  retryOnce();
  const suite = new RedisSuite({ config: { 'lua-time-limit': '20' } });

  const withoutReplicas = async () => {
    const set = (replicas: string) => suite.run('CONFIG', 'SET', 'min-replicas-to-write', replicas);
    await set('1');
    suite.ending(() => set('0'));
    return () => set('0');
  };

  /** Runs a script of another client that does not end by itself. */
  const withEndlessScript = async () => {
    const client = createClient({ url: suite.url }).on('error', () => undefined);
    await client.connect();
    suite.ending(() => client.destroy());
    const ended = client.sendCommand(['EVAL', 'while true do end', '0']).catch((error: unknown) => error);
    await eventually(async () =>
      suite.run('GET', 'any').then(
        () => false,
        (error: Error) => error.message.startsWith('BUSY'),
      ),
    );
    let isOver = false;
    const end = async () => {
      if (isOver) return;
      isOver = true;
      await suite.run('SCRIPT', 'KILL');
      await ended;
    };
    suite.ending(end);
    return end;
  };

  const open = async () => {
    const logger = recordingLogger();
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, logger, publishTimeout: 3000 });
    await queue.publish('key', { n: 1 });
    return { proxy, queue, warned: (about: RegExp) => logger.warnings.filter((warning) => about.test(warning)) };
  };

  const refusesScriptsWithoutReplicas = isAtLeast('redis-server', [7, 0]);
  if (!refusesScriptsWithoutReplicas)
    console.warn(
      'SKIPPED: refusals by a server without replicas. Before 7.0, `min-replicas-to-write` says nothing about scripts.',
    );

  describe.each([
    ...(refusesScriptsWithoutReplicas
      ? [{ how: 'a server without replicas', refuse: withoutReplicas, reply: /NOREPLICAS/ }]
      : []),
    { how: 'an endless script', refuse: withEndlessScript, reply: /BUSY/ },
  ])('because of $how', ({ refuse, reply }) => {
    it('gives the reason for an unconfirmed publish and logs once when it begins and once when it ends', async () => {
      const { queue, warned } = await open();
      const allow = await refuse();
      for (const n of upTo(2)) {
        const error = await failureOf(queue.publish('key', { n }));
        expect(error).toMatchObject({
          retryable: true,
          message: expect.stringMatching(/within 3000 ms/),
          cause: { message: expect.stringMatching(reply) },
        });
        expect(error.message).toMatch(reply);
      }
      expect(warned(/refuses/)).toEqual([
        expect.stringMatching(new RegExp(`refuses publishes to queue "${suite.name}".*${reply.source}`)),
      ]);
      await allow();
      await eventually(() => warned(/accepts/).length === 1);
      await queue.publish('key', { n: 3 });
      await eventually(() => warned(/accepts/).length > 0);
      expect(warned(/refuses|accepts/)).toHaveLength(2);
      expect(warned(/accepts/)).toEqual([
        expect.stringMatching(/accepts publishes to queue ".*" again after [\d.]+ s, \d+ attempts/),
      ]);
    });

    it('gives the reason for a failed stats() and logs once when a group is refused and once when it is not', async () => {
      const { queue, warned } = await open();
      const holder = new Holder(queue);
      await eventually(() => holder.deliveries.length === 1);
      const allow = await refuse();
      const acknowledged = holder.of(1).ack();
      for (let times = 0; times < 2; times++) expect((await failureOf(queue.stats())).message).toMatch(reply);
      expect(warned(/refuses/)).toEqual([
        expect.stringMatching(
          new RegExp(`refuses requests of group "default" of queue "${suite.name}".*${reply.source}`),
        ),
      ]);
      await allow();
      expect(await acknowledged).toBe(true);
      await eventually(() => warned(/accepts/).length > 0);
      expect(warned(/refuses|accepts/)).toHaveLength(2);
      expect(warned(/accepts/)).toEqual([
        expect.stringMatching(/accepts requests of group "default" of queue ".*" again after [\d.]+ s, \d+ attempts/),
      ]);
      expect(holder.error).toBeUndefined();
    });

    it('gives the reason for a missing connection and logs it once', async () => {
      const { proxy, queue, warned } = await open();
      const allow = await refuse();
      proxy.cut();
      for (const n of upTo(2)) expect((await failureOf(queue.publish('key', { n }))).message).toMatch(reply);
      expect(warned(/cannot connect/)).toHaveLength(1);
      await allow();
      await eventually(() => warned(/Reconnected/).length === 1);
      await queue.publish('key', { n: 3 });
    });
  });
});

describe('Publisher when its server refuses temporarily', () => {
  class ErrorReply extends Error {}

  beforeEach(fakeTime);

  afterEach(() => jest.useRealTimers());

  it('leaves no timer after abandon()', async () => {
    const refuse = jest.fn(async () => {
      throw new ErrorReply('NOREPLICAS Not enough good replicas to write.');
    });
    const link = { run: refuse, connect: async () => {}, destroy: () => {} };
    const failures = new EngineErrors(redisFailures('orders'), { queue: 'orders', server: 'here' });
    const publisher = new PublishLoop({
      queueName: 'orders',
      connection: {
        isReady: true,
        mayRecover: true,
        onChange: () => () => {},
        acquire: async () => link,
      } as never,
      publishTimeout: 60_000,
      maxPending: 1,
      failures,
      logger: silentLogger,
      driver: new Publisher({
        keys: queueKeys('orders'),
        groupRule: { groups: ['default'], declared: false },
        topology: { mayCreate: true },
        failures,
        publishTimeout: 60_000,
        dedupeWindow: 1000,
      }),
    });
    const failure = failureOf(publisher.publish(checkMessage('key', { n: 1 })));
    await pass(5000);
    const calls = refuse.mock.calls.length;
    expect(calls).toBeGreaterThan(3);
    publisher.abandon();
    expect((await failure).message).toMatch(/was closed before a message was confirmed/);
    await pass(0);
    expect([refuse.mock.calls.length, jest.getTimerCount()]).toEqual([calls, 0]);
  });
});

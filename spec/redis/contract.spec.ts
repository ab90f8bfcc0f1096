import { randomUUID } from 'node:crypto';
import { intercept, type QueueBackend } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, CONTRACT_PUBLISH_TIMEOUT, testEach } from '../support/contract-cases.js';
import { passThrough } from '../support/pass-through.js';
import { silentLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { RedisServer } from '../support/servers/redis-server.js';

const CAPABILITIES: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'held',
  shared: true,
  attempt: 'exact',
  release: 'uncounted',
  validation: 'json',
  close: 'at once',
  logger: true,
  dedupe: true,
  dedupeDelayed: true,
  managed: true,
  foreignGroups: 'counted',
  peek: true,
  purgeDelayed: true,
  lease: 1000,
};

describeWithRedis('Contract of RedisBackend', () => {
  retryOnce();
  let server: RedisServer;

  beforeAll(async () => {
    // The data has to survive restarts. Syncing each write would be slow on a busy machine.
    server = await RedisServer.start({ config: { appendonly: 'yes', appendfsync: 'everysec' } });
  });

  afterAll(() => server.stop());

  const create = async ({
    name = randomUUID(),
    groups,
    lease,
    dedupeWindow,
    logger = silentLogger,
  }: BackendNeeds = {}): Promise<QueueBackend> =>
    new RedisBackend({
      url: server.url,
      name,
      groups,
      lease,
      dedupeWindow,
      publishTimeout: CONTRACT_PUBLISH_TIMEOUT,
      logger,
    });

  /**
   * Cuts every connection. The calls run one by one, because each also cuts the connection of the
   * others.
   */
  let cuts = Promise.resolve();
  const disconnect = () => {
    cuts = cuts.then(async () => void (await server.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')));
    return cuts;
  };

  const capabilities: BackendCapabilities = {
    ...CAPABILITIES,
    disconnect,
    restart: () => server.restart(),
    deadline: CONTRACT_DEADLINE,
  };

  testEach(queueBackendContract(create, capabilities));

  // Interceptors do not depend on the version of the server: other versions need no second run.
  if (process.env.SLUICE_ENGINE !== undefined) return;
  describe('through interceptors', () => {
    testEach(queueBackendContract(async (needs) => intercept(await create(needs), passThrough), capabilities));
  });
});

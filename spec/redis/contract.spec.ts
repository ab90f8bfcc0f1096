import { randomUUID } from 'node:crypto';
import type { QueueBackend } from 'sluice';
import { RedisBackend } from 'sluice/redis';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, CONTRACT_PUBLISH_TIMEOUT, testEach } from '../support/contract-cases.js';
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
  lease: 1000,
};

describeWithRedis('The contract, kept by a RedisBackend', () => {
  retryOnce();
  let server: RedisServer;

  beforeAll(async () => {
    // It survives the restarts that it is asked for, and does not wait for the disk otherwise: a busy machine's may take long.
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

  /** Cuts every connection. One call after the other: each cuts that of the others too. */
  let cuts = Promise.resolve();
  const disconnect = () => {
    cuts = cuts.then(async () => void (await server.run('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')));
    return cuts;
  };

  testEach(
    queueBackendContract(create, {
      ...CAPABILITIES,
      disconnect,
      restart: () => server.restart(),
      deadline: CONTRACT_DEADLINE,
    }),
  );
});

import { randomUUID } from 'node:crypto';
import type { QueueBackend } from 'sluice';
import { PostgresBackend } from 'sluice/postgres';
import { type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, CONTRACT_PUBLISH_TIMEOUT, testEach } from '../support/contract-cases.js';
import { POSTGRES_CAPABILITIES } from '../support/postgres-capabilities.js';
import { silentLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';
import { PostgresServer } from '../support/servers/postgres-server.js';

const create =
  (where: () => { readonly url: string }) =>
  async ({
    name = randomUUID(),
    groups,
    lease,
    dedupeWindow,
    logger = silentLogger,
  }: BackendNeeds = {}): Promise<QueueBackend> =>
    new PostgresBackend({
      ...where(),
      name,
      groups,
      lease,
      dedupeWindow,
      publishTimeout: CONTRACT_PUBLISH_TIMEOUT,
      logger,
    });

describeWithPostgres('Contract of PostgresBackend', () => {
  retryOnce();
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start();
  });

  afterAll(() => server.stop());

  /** Cuts every connection. */
  const disconnect = async () => {
    await server.run('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1', ['sluice']);
  };

  testEach(
    queueBackendContract(
      create(() => ({ url: server.url })),
      { ...POSTGRES_CAPABILITIES, disconnect, restart: () => server.restart(), deadline: CONTRACT_DEADLINE },
    ),
  );
});

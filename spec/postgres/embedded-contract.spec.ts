import { randomUUID } from 'node:crypto';
import { PostgresBackend } from 'sluice/postgres';
import { queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, CONTRACT_PUBLISH_TIMEOUT, testEach } from '../support/contract-cases.js';
import { POSTGRES_CAPABILITIES } from '../support/postgres-capabilities.js';
import { silentLogger } from '../support/recording-logger.js';

describe('Contract of PostgresBackend on an embedded PostgreSQL', () => {
  // The database starts once, before the deadlines of the cases.
  beforeAll(async () => {
    const queue = new PostgresBackend({ url: 'pglite:memory', publishTimeout: 100_000, logger: silentLogger });
    await queue.publish('first', {});
    await queue.close();
  });

  testEach(
    queueBackendContract(
      async ({ name = randomUUID(), logger = silentLogger, ...needs } = {}) =>
        new PostgresBackend({
          url: 'pglite:memory',
          name,
          logger,
          ...needs,
          publishTimeout: CONTRACT_PUBLISH_TIMEOUT,
        }),
      { ...POSTGRES_CAPABILITIES, deadline: CONTRACT_DEADLINE },
    ),
  );
});

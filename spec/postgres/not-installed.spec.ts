import { loadBackend } from 'sluice';
import { PostgresBackend } from 'sluice/postgres';
import { failureOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** Fails as Node.js does. */
function mockMissing(name: string): void {
  const message = `Cannot find package '${name}' imported from /app/embedded.js`;
  jest.doMock(name, () => {
    throw Object.assign(new Error(message), { code: 'ERR_MODULE_NOT_FOUND' });
  });
}

describe('A client of PostgreSQL that is not installed', () => {
  it.each([
    ['@electric-sql/pglite', 'pglite:memory'],
    ['pg', 'postgres://localhost/shop'],
  ])('is named with the command: %s', async (name, url) => {
    mockMissing(name);
    const queue = new PostgresBackend({ url, logger: silentLogger });
    // Not after `publishTimeout`: no attempt can succeed.
    const error = await failureOf(queue.publish('key', {}));
    expect(error).toMatchObject({ code: 'SLUICE_BACKEND_UNAVAILABLE', retryable: false });
    expect(error.message).toContain(`The package ${name} is not installed. To install: npm install ${name}`);
    await queue.close();

    const env = { QUEUE_BACKEND: 'postgres', POSTGRES_URL: url };
    expect(await failureOf(loadBackend({ env }))).toMatchObject({
      code: 'SLUICE_BACKEND_NOT_FOUND',
      message: expect.stringContaining(`npm install ${name}`),
    });
  });
});

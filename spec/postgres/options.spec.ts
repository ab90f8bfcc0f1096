import { PostgresBackend } from 'sluice/postgres';
import { POSTGRES } from '../support/provider.js';
import { providerOptions } from '../support/provider-options.js';

const url = 'postgres://localhost';

providerOptions(PostgresBackend, POSTGRES, {
  client: { query: async () => ({ rows: [] }) },
  method: 'query',
  refused: [
    [{ url, schema: '' }, RangeError, /`schema`/],
    [{ url, schema: 'x'.repeat(64) }, RangeError, /`schema`/],
    [{ url, schema: 'pg_mine' }, RangeError, /`schema`/],
    [{ url, schema: 7 }, TypeError, /`schema`/],
    [{ url, migrate: 'true' }, TypeError, /`migrate`/],
    [{ url, pollInterval: 9 }, RangeError, /`pollInterval`/],
    [{ url, pollInterval: '1s' }, TypeError, /`pollInterval`/],
  ],
  taken: [{ url, schema: 'x'.repeat(63), migrate: false, pollInterval: 10 }],
});

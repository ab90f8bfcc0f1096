import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { type Client, Pool } from 'pg';
import { BackendUnavailableError } from 'sluice';
import type { PostgresBackend } from 'sluice/postgres';
import { takeAll } from '../support/postgres-messages.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { programOf } from '../support/program.js';
import { failureOf } from '../support/promises.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const run = promisify(execFile);

describeWithPostgres('PostgresBackend.within', () => {
  const suite = new PostgresSuite();

  describe('before the tables exist', () => {
    const schemas: string[] = [];
    const fresh = (): { readonly schema: string } => {
      const schema = `fresh ${randomUUID()}`;
      schemas.push(schema);
      return { schema };
    };

    afterAll(async () => {
      for (const schema of schemas.splice(0)) await suite.run(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    });

    it.each(['', 'ISOLATION LEVEL SERIALIZABLE'])('creates them outside of the transaction: "%s"', async (mode) => {
      const queue = suite.open(fresh());
      const client = await suite.begin(mode);
      await queue.within(client).publish('order', { n: 1 });
      await client.query('ROLLBACK');
      await client.query('BEGIN');
      await queue.within(client).publish('order', { n: 2 });
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual([2]);
    });

    it('needs no connection of its own after `stats()`', async () => {
      const pool = new Pool({ connectionString: suite.url, max: 1 });
      suite.ending(() => pool.end());
      const queue = suite.open({ client: pool, ...fresh() });
      expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
      const client = await pool.connect();
      await client.query('BEGIN');
      await queue.within(client).publish('order', { n: 1 });
      await client.query('COMMIT');
      client.release();
      expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    });

    it('refuses a database whose transactions are serializable by default', async () => {
      const url = `${suite.url}?options=-c%20default_transaction_isolation%3Dserializable`;
      const error = await failureOf(suite.open({ url, ...fresh() }).publish('order', { n: 1 }));
      expect(error).toBeInstanceOf(BackendUnavailableError);
      expect(error.message).toContain('serializable by default, expected read committed');
    });

    it('creates them once for publishes at the same time', async () => {
      const options = fresh();
      const queues = [suite.open(options), suite.open(options), suite.open(options)];
      const clients = await Promise.all(queues.map(() => suite.begin()));
      await Promise.all(
        queues.flatMap((queue, index) =>
          [queue, queue].map(() => queue.within(clients[index] as Client).publish('order', { n: index })),
        ),
      );
      for (const client of clients) await client.query('COMMIT');
      expect((await takeAll(queues[0] as PostgresBackend)).sort()).toEqual([0, 0, 1, 1, 2, 2]);
    });

    it('creates them within a transaction of the only connection, PGlite', async () => {
      const { stdout } = await run(process.execPath, [programOf('spec/postgres/fixtures/embedded-transactions.ts')]);
      expect(JSON.parse(stdout)).toEqual({ rolledBack: 'Not today', taken: [2, 3, 4, 5] });
    });
  });
});

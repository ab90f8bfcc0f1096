import { readFileSync } from 'node:fs';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';

import knex, { type Knex } from 'knex';
import { CompiledQuery, Kysely, PostgresDialect, type Transaction } from 'kysely';
import { Pool, type PoolClient } from 'pg';
import type { Delivery } from 'sluice';
import type { PostgresBackend, Queryable } from 'sluice/postgres';
import { PostgresSuite } from '../support/postgres-suite.js';
import { ROOT } from '../support/root.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

function inKysely<Tables>(transaction: Transaction<Tables>): Queryable {
  return { query: (text, values = []) => transaction.executeQuery(CompiledQuery.raw(text, values)) };
}

function inDrizzle(transaction: Pick<NodePgDatabase, 'execute'>): Queryable {
  return {
    query(text, values = []) {
      const parts = text.split(/\$\d+/).map((part) => sql.raw(part));
      return transaction.execute(
        sql.join(parts.flatMap((part, index) => (index < values.length ? [part, sql`${values[index]}`] : [part]))),
      );
    },
  };
}

function inKnex(transaction: Knex.Transaction): Queryable {
  return {
    query: async (text, values = []) =>
      transaction.raw(text.replaceAll('?', String.raw`\?`).replaceAll(/\$\d+/g, '?'), values),
  };
}

function inPrisma(transaction: {
  $executeRawUnsafe(text: string, ...values: unknown[]): PromiseLike<number>;
}): Queryable {
  return {
    async query(text, values = []) {
      await transaction.$executeRawUnsafe(text, ...values);
      return { rows: [] };
    },
  };
}

/**
 * Stands in for a Prisma client, whose generator cannot be installed without a download: a raw
 * statement, with its values, in a transaction. It resolves to the number of rows.
 */
class PrismaStandIn {
  readonly #pool: Pool;

  constructor(pool: Pool) {
    this.#pool = pool;
  }

  async $transaction(
    run: (tx: { $executeRawUnsafe(text: string, ...values: unknown[]): Promise<number> }) => Promise<void>,
  ): Promise<void> {
    const client: PoolClient = await this.#pool.connect();
    try {
      await client.query('BEGIN');
      await run({ $executeRawUnsafe: async (text, ...values) => (await client.query(text, values)).rowCount ?? 0 });
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }
}

/** Opens a library. `run` calls back within a transaction. */
type Open = (pool: Pool) => {
  readonly run: (work: (transaction: Queryable) => Promise<void>) => Promise<unknown>;
  readonly close?: () => Promise<unknown>;
};

const libraries: Readonly<Record<string, Open>> = {
  Kysely: (pool) => {
    const db = new Kysely<Record<never, never>>({ dialect: new PostgresDialect({ pool }) });
    return { run: (work) => db.transaction().execute((tx) => work(inKysely(tx))) };
  },
  Drizzle: (pool) => {
    const db = drizzle(pool);
    return { run: (work) => db.transaction((tx) => work(inDrizzle(tx))) };
  },
  Knex: (pool) => {
    const db = knex({ client: 'pg', connection: { connectionString: pool.options.connectionString as string } });
    return { run: (work) => db.transaction((tx) => work(inKnex(tx))), close: () => db.destroy() };
  },
  'the stand-in for Prisma': (pool) => {
    const db = new PrismaStandIn(pool);
    return { run: (work) => db.$transaction((tx) => work(inPrisma(tx))) };
  },
};

const TEXT = '\\0 \0 \\ $1 ? ?? :name ::text \' " \u{1f600}';

/** What the guide shows of this file. */
const SHOWN = /^function in.*?^}$/gms;

describeWithPostgres('Transactions of other libraries', () => {
  const suite = new PostgresSuite();

  /** Returns what the queue holds. */
  const held = async (queue: PostgresBackend): Promise<Pick<Delivery, 'key' | 'payload' | 'headers' | 'id'>[]> => {
    await queue.publish('end', {});
    const all: Pick<Delivery, 'key' | 'payload' | 'headers' | 'id'>[] = [];
    for await (const { key, payload, headers, id } of queue.deliveries()) {
      if (key === 'end') break;
      all.push({ key, payload, headers, id });
    }
    return all;
  };

  describe.each(Object.entries(libraries))('%s', (_, open) => {
    const start = () => {
      const pool = new Pool({ connectionString: suite.url });
      suite.ending(() => pool.end());
      const { run, close = async () => undefined } = open(pool);
      suite.ending(close);
      return run;
    };

    it('publishes if the transaction commits', async () => {
      const queue = suite.open();
      const run = start();
      const payload = { text: TEXT, list: [1, null, { a: true }] };
      await run(async (tx) => {
        await queue.within(tx).publish(TEXT, payload, { id: TEXT, headers: { text: TEXT } });
        await queue.within(tx).publish('order', {}, { group: 'default', delay: 0 });
        await queue.within(tx).publish('order', {}, { delay: 3_600_000 });
      });
      expect(await queue.stats()).toEqual({ ready: 2, unfinished: 3 });
      expect(await held(queue)).toEqual([
        { key: TEXT, payload, headers: { text: TEXT }, id: TEXT },
        { key: 'order', payload: {}, headers: {}, id: expect.any(String) },
      ]);
    });

    it('publishes nothing if the transaction rolls back', async () => {
      const queue = suite.open();
      const failing = start()(async (tx) => {
        await queue.within(tx).publish('order', {});
        throw new Error('Not today');
      });
      await expect(failing).rejects.toThrow('Not today');
      expect(await held(queue)).toEqual([]);
    });

    it('keeps the order, also in a schema whose name means something to the library', async () => {
      const queue = suite.open({ schema: 'why? :so "quoted" {0}' });
      await start()(async (tx) => {
        for (let number = 0; number < 5; number++) await queue.within(tx).publish('order', { number });
      });
      expect((await held(queue)).map(({ payload }) => payload)).toEqual([0, 1, 2, 3, 4].map((number) => ({ number })));
    });
  });

  it('use the functions of the guide', () => {
    const [own, guide] = ['spec/postgres/adapters.spec.ts', 'docs/guides/transactions.md'].map((file) =>
      readFileSync(path.join(ROOT, file), 'utf8'),
    );
    expect(guide?.match(SHOWN)).toHaveLength(4);
    expect(guide?.match(SHOWN)).toEqual(own?.match(SHOWN));
  });
});

import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { Client } from 'pg';
import {
  BackendUnavailableError,
  ConfigurationError,
  type Delivery,
  InvalidMessageError,
  QueueClosedError,
} from 'sluice';
import { PostgresBackend, type Queryable } from 'sluice/postgres';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { programOf } from '../support/program.js';
import { failureOf, stateOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

const run = promisify(execFile);

/** Returns what a test has published. */
const numberOf = ({ payload }: Delivery): unknown => (payload as { readonly n?: unknown }).n;

/** Takes the next messages and acknowledges them. */
async function take(queue: PostgresBackend, count: number): Promise<unknown[]> {
  const taken: unknown[] = [];
  for await (const delivery of queue.deliveries()) {
    taken.push(numberOf(delivery));
    await delivery.ack();
    if (taken.length === count) break;
  }
  return taken;
}

/** Takes all messages that were stored before this call. */
async function takeAll(queue: PostgresBackend): Promise<unknown[]> {
  await queue.publish('end', {});
  const taken: unknown[] = [];
  for await (const delivery of queue.deliveries()) {
    await delivery.ack();
    if (delivery.key === 'end') break;
    taken.push(numberOf(delivery));
  }
  return taken;
}

/** Passes statements on and counts them. */
function counting(client: Queryable): Queryable & { count: number } {
  return {
    count: 0,
    query(text, values) {
      this.count += 1;
      return client.query(text, values);
    },
  };
}

describeWithPostgres('PostgresBackend.within', () => {
  const suite = new PostgresSuite();

  /** Opens a connection of the application. */
  const connect = async (): Promise<Client> => {
    const client = new Client({ connectionString: suite.url });
    client.on('error', () => undefined);
    await client.connect();
    suite.ending(() => client.end());
    return client;
  };

  /** Opens a transaction of the application. */
  const begin = async (mode = ''): Promise<Client> => {
    const client = await connect();
    await client.query(`BEGIN ${mode}`);
    return client;
  };

  describe('stores a message', () => {
    it('when the transaction commits, together with the rows of the application', async () => {
      const queue = suite.open();
      await suite.run('CREATE TABLE IF NOT EXISTS orders (id text)');
      const client = await begin();
      await client.query('INSERT INTO orders VALUES ($1)', [suite.name]);
      await queue.within(client).publish('order', { id: 1 }, { headers: { 'trace-id': 't' } });
      expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
      await client.query('COMMIT');
      expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
      for await (const { key, payload, headers, attempt } of queue.deliveries()) {
        expect({ key, payload, headers, attempt }).toEqual({
          key: 'order',
          payload: { id: 1 },
          headers: { 'trace-id': 't' },
          attempt: 1,
        });
        break;
      }
      expect(await suite.run('SELECT FROM orders WHERE id = $1', [suite.name])).toHaveLength(1);
    });

    it('never, if the transaction rolls back', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 });
      await client.query('ROLLBACK');
      expect(await takeAll(queue)).toEqual([]);
    });

    it('never, if the connection is lost before the commit', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 });
      const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
      await suite.run('SELECT pg_terminate_backend($1)', [rows[0].pid]);
      await eventually(async () => {
        const [row] = await suite.run('SELECT FROM pg_stat_activity WHERE pid = $1', [rows[0].pid]);
        return row === undefined;
      });
      expect(await takeAll(queue)).toEqual([]);
    });

    it('never, if a later statement fails', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 });
      await expect(client.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
      await expect(queue.within(client).publish('order', { n: 2 })).rejects.toMatchObject({ code: '25P02' });
      await client.query('COMMIT'); // The server rolls back.
      expect(await takeAll(queue)).toEqual([]);
    });

    it('unless its savepoint was rolled back', async () => {
      const queue = suite.open();
      const client = await begin();
      const { publish } = queue.within(client);
      await publish('order', { n: 1 });
      await client.query('SAVEPOINT one');
      await publish('order', { n: 2 });
      await client.query('SAVEPOINT two');
      await publish('order', { n: 3 });
      await client.query('ROLLBACK TO two');
      await publish('order', { n: 4 });
      await client.query('RELEASE one');
      await client.query('SAVEPOINT three');
      await publish('order', { n: 5 });
      await client.query('ROLLBACK TO three');
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual([1, 2, 4]);
    });

    it('at once, on a connection without a transaction', async () => {
      const queue = suite.open();
      await queue.within(await connect()).publish('order', { n: 1 });
      expect(await take(queue, 1)).toEqual([1]);
    });

    it('only for its group', async () => {
      const queue = suite.open({ groups: ['billing', 'audit'] });
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 }, { group: 'audit' });
      await client.query('COMMIT');
      expect([await queue.stats({ group: 'billing' }), await queue.stats({ group: 'audit' })]).toEqual([
        { ready: 0, unfinished: 0 },
        { ready: 1, unfinished: 1 },
      ]);
    });

    it('of any text', async () => {
      const queue = suite.open({ name: `${suite.name} '\\ "` });
      const client = await begin();
      const text = '\\0 \0 \\ $1 ? ?? :name \u{1f600}';
      await queue.within(client).publish(text, { text }, { id: text, headers: { text } });
      await client.query('COMMIT');
      for await (const { key, id, payload, headers } of queue.deliveries()) {
        expect([key, id, payload, headers]).toEqual([text, text, { text }, { text }]);
        break;
      }
    });

    it.each(['REPEATABLE READ', 'SERIALIZABLE'])('in a transaction that is %s', async (level) => {
      const queue = suite.open();
      await queue.publish('order', { n: 1 });
      const [one, other] = [await begin(`ISOLATION LEVEL ${level}`), await begin(`ISOLATION LEVEL ${level}`)];
      await queue.within(one).publish('order', { n: 2 }, { id: 'two' });
      await queue.within(other).publish('order', { n: 3 }, { id: 'three' });
      await queue.publish('order', { n: 4 });
      expect(await take(queue, 2)).toEqual([1, 4]);
      await one.query('COMMIT');
      await other.query('COMMIT');
      expect(await takeAll(queue)).toEqual([2, 3]);
    });
  });

  describe('wakes a consumer', () => {
    it('that waited already when the transaction began', async () => {
      const queue = suite.open();
      const waiting = take(queue, 1);
      await eventually(async () => (await queue.groups())[0]?.consumers === 1);
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 });
      await client.query('COMMIT');
      expect(await waiting).toEqual([1]);
    });

    it('that began to wait during the transaction', async () => {
      const queue = suite.open();
      const client = await begin('ISOLATION LEVEL REPEATABLE READ');
      await queue.within(client).publish('order', { n: 1 });
      const waiting = take(queue, 1);
      await eventually(async () => (await queue.groups())[0]?.consumers === 1);
      await client.query('COMMIT');
      expect(await waiting).toEqual([1]);
    });
  });

  describe('gives a message its place at the commit', () => {
    it('so that a transaction that commits first comes first', async () => {
      const queue = suite.open();
      const [early, late] = [await begin(), await begin()];
      await queue.within(early).publish('order', { n: 'published first' });
      await queue.within(late).publish('order', { n: 'committed first' });
      await late.query('COMMIT');
      await queue.publish('order', { n: 'between' });
      await early.query('COMMIT');
      expect(await takeAll(queue)).toEqual(['committed first', 'between', 'published first']);
    });

    it('so that a message that is published later and committed earlier comes first', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 'open' });
      await queue.publish('order', { n: 'plain' });
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual(['plain', 'open']);
    });

    it('and no later message overtakes it after the commit', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 'committed' });
      await client.query('COMMIT');
      await queue.publish('order', { n: 'plain' });
      expect(await takeAll(queue)).toEqual(['committed', 'plain']);
    });

    it('which it keeps when it is requeued', async () => {
      const queue = suite.open();
      const [one, other] = [await begin(), await begin()];
      await queue.within(one).publish('order', { n: 'a' });
      await queue.within(other).publish('order', { n: 'b' });
      await other.query('COMMIT');
      for await (const delivery of queue.deliveries()) {
        expect(numberOf(delivery)).toBe('b');
        await one.query('COMMIT');
        await queue.publish('order', { n: 'c' });
        await delivery.nack();
        break;
      }
      expect(await takeAll(queue)).toEqual(['b', 'a', 'c']);
    });

    it('in the order of its transaction', async () => {
      const queue = suite.open();
      const client = await begin();
      const numbers = Array.from({ length: 50 }, (_, index) => index);
      await Promise.all(numbers.map((number) => queue.within(client).publish('order', { n: number })));
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual(numbers);
    });

    it('in the order of its transaction, also if that takes long', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 });
      await client.query('SELECT pg_sleep(11)');
      await queue.within(client).publish('order', { n: 2 });
      await client.query('COMMIT');
      await queue.publish('order', { n: 'plain' });
      expect((await take(queue, 3)).filter((payload) => payload !== 'plain')).toEqual([1, 2]);
    });
  });

  describe('with a delay', () => {
    it('shows the message as delayed after the commit', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 'delayed' }, { delay: 3_600_000 });
      await queue.within(client).publish('order', { n: 'now' });
      expect(await queue.peek()).toEqual([]);
      await client.query('COMMIT');
      expect(await queue.stats()).toEqual({ ready: 1, unfinished: 2 });
      expect(await queue.peek()).toMatchObject([
        { payload: { n: 'now' } },
        { payload: { n: 'delayed' }, due: expect.any(Number) },
      ]);
      expect(await takeAll(queue)).toEqual(['now']);
    });

    it('delivers messages when they are due, in the order in which they are', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 'second' }, { delay: 400 });
      await queue.within(client).publish('order', { n: 'first' }, { delay: 200 });
      await queue.publish('order', { n: 'plain' });
      await client.query('COMMIT');
      expect(await take(queue, 3)).toEqual(['plain', 'first', 'second']);
    });

    it('counts the delay from the publish', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 'due' }, { delay: 50 });
      await client.query('SELECT pg_sleep(0.1)');
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual(['due']);
    });
  });

  describe('deduplicates by id', () => {
    it('within a transaction, and after its commit', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 }, { id: 'one' });
      await queue.within(client).publish('order', { n: 2 }, { id: 'one' });
      await client.query('COMMIT');
      await queue.publish('order', { n: 3 }, { id: 'one' });
      await queue.within(client).publish('order', { n: 4 }, { id: 'one' });
      expect(await takeAll(queue)).toEqual([1]);
    });

    it('and forgets the id of a transaction that rolls back', async () => {
      const queue = suite.open();
      const client = await begin();
      await queue.within(client).publish('order', { n: 1 }, { id: 'one' });
      await client.query('ROLLBACK');
      await client.query('BEGIN');
      await client.query('SAVEPOINT one');
      await queue.within(client).publish('order', { n: 2 }, { id: 'one' });
      await client.query('ROLLBACK TO one');
      await queue.within(client).publish('order', { n: 3 }, { id: 'one' });
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual([3]);
    });

    it.each([
      ['COMMIT', [1]],
      ['ROLLBACK', [2]],
    ])('and waits for another transaction with this id, until its %s', async (end, stored) => {
      const queue = suite.open();
      const [one, other] = [await begin(), await begin()];
      await queue.within(one).publish('order', { n: 1 }, { id: 'one' });
      const second = queue.within(other).publish('order', { n: 2 }, { id: 'one' });
      await eventually(async () => (await suite.run('SELECT FROM pg_locks WHERE NOT granted')).length > 0);
      await one.query(end);
      await second;
      await other.query('COMMIT');
      expect(await takeAll(queue)).toEqual(stored);
    });

    it('and a plain publish that waits for this id blocks no other message', async () => {
      const [queue, same] = [suite.open(), suite.open({ publishTimeout: 60_000, lease: 60_000 })];
      const client = await begin();
      await queue.within(client).publish('order', { n: 'open' }, { id: 'one' });
      const waiting = same.publish('order', { n: 'same id' }, { id: 'one' });
      await eventually(async () => (await suite.run('SELECT FROM pg_locks WHERE NOT granted')).length > 0);
      await queue.publish('order', { n: 'plain' });
      await queue.publish('order', { n: 'delayed' }, { delay: 10 });
      expect(await take(queue, 2)).toEqual(['plain', 'delayed']);
      expect(await stateOf(waiting)).toBe('pending');
      await client.query('COMMIT');
      await waiting;
      expect(await takeAll(queue)).toEqual(['open']);
    });
  });

  describe('rejects without a statement, so that the transaction can go on', () => {
    const cases: readonly (readonly [string, unknown, (queue: PostgresBackend, client: Queryable) => Promise<void>])[] =
      [
        ['an empty key', InvalidMessageError, (queue, client) => queue.within(client).publish('', {})],
        [
          'a payload that is no JSON',
          InvalidMessageError,
          (queue, client) => queue.within(client).publish('k', { f() {} } as never),
        ],
        [
          'a missing payload',
          InvalidMessageError,
          (queue, client) => queue.within(client).publish('k', undefined as never),
        ],
        [
          'a header that is no text',
          InvalidMessageError,
          (queue, client) => queue.within(client).publish('k', {}, { headers: { a: 1 as never } }),
        ],
        ['an empty id', RangeError, (queue, client) => queue.within(client).publish('k', {}, { id: '' })],
        ['a negative delay', RangeError, (queue, client) => queue.within(client).publish('k', {}, { delay: -1 })],
        [
          'an undeclared group',
          ConfigurationError,
          (queue, client) => queue.within(client).publish('k', {}, { group: 'other' }),
        ],
      ];

    it.each(cases)('for %s', async (_, error, publish) => {
      const queue = suite.open();
      const client = await begin();
      const counted = counting(client);
      await queue.within(counted).publish('order', { n: 1 });
      const before = counted.count;
      expect(await failureOf(publish(queue, counted))).toBeInstanceOf(error);
      expect(counted.count).toBe(before);
      await queue.within(counted).publish('order', { n: 2 });
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual([1, 2]);
    });

    it('for a signal that has aborted', async () => {
      const client = counting(await begin());
      const reason = new Error('Too late');
      const publishing = suite
        .open()
        .within(client)
        .publish('order', { n: 1 }, { signal: AbortSignal.abort(reason) });
      expect(await failureOf(publishing)).toBe(reason);
      expect(client.count).toBe(0);
    });

    it('after close()', async () => {
      const queue = suite.open();
      const client = counting(await begin());
      const { publish } = queue.within(client);
      await publish('order', { n: 1 });
      await queue.close();
      expect(await failureOf(publish('order', { n: 2 }))).toBeInstanceOf(QueueClosedError);
      expect(client.count).toBe(1);
    });

    it('and refuses what runs no SQL', () => {
      expect(() => suite.open().within({} as Queryable)).toThrow(TypeError);
    });
  });

  it('sends one SELECT with scalar parameters, each used once, in order', async () => {
    const queue = suite.open();
    const sent: { readonly text: string; readonly values: readonly unknown[] }[] = [];
    const client = await begin();
    const spy: Queryable = {
      query(text, values = []) {
        sent.push({ text, values });
        return client.query(text, values);
      },
    };
    await queue.within(spy).publish('order', { list: [1] }, { id: 'one', headers: { a: 'b' }, delay: 5 });
    await queue.within(spy).publish('order', {});
    expect(sent).toHaveLength(2);
    for (const { text, values } of sent) {
      expect(text).toMatch(/^SELECT /);
      expect(text.match(/\$\d+/g)).toEqual(values.map((_, index) => `$${index + 1}`));
      for (const value of values) expect(value === null || /string|number|boolean/.test(typeof value)).toBe(true);
    }
  });

  it('in a transaction that stays open blocks neither publishers nor consumers', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const client = await begin();
    for (let number = 0; number < 10; number++)
      await queue.within(client).publish('order', { n: `open ${number}` }, { id: `open-${number}` });
    for (let round = 0; round < 5; round++) {
      const other = await begin();
      await queue.within(other).publish('order', { n: `transaction ${round}` }, { id: `other-${round}` });
      await other.query('COMMIT');
      await queue.publish('order', { n: `plain ${round}` }, { id: `plain-${round}`, delay: round });
    }
    for (const group of ['a', 'b']) {
      const taken: unknown[] = [];
      for await (const delivery of queue.deliveries({ group })) {
        taken.push(numberOf(delivery));
        await delivery.ack();
        if (taken.length === 10) break;
      }
      expect(taken.every((payload) => !String(payload).startsWith('open'))).toBe(true);
    }
    expect(await suite.tables()).toEqual({ messages: 0, unplaced: 0, pending: 0 });
    await client.query('COMMIT');
    expect(await queue.stats()).toEqual({ ready: 10, unfinished: 10 });
  });

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
      const client = await begin(mode);
      await queue.within(client).publish('order', { n: 1 });
      await client.query('ROLLBACK');
      await client.query('BEGIN');
      await queue.within(client).publish('order', { n: 2 });
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual([2]);
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
      const clients = await Promise.all(queues.map(() => begin()));
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

  it('keeps the order of transactions, loses, duplicates and invents no message', async () => {
    const clients = [await connect(), await connect(), await connect()];
    const step = fc.record({
      client: fc.nat({ max: clients.length }),
      action: fc.constantFrom('publish', 'publish', 'publish', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s'),
      id: fc.option(fc.constantFrom('a', 'b')),
    });

    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const name = randomUUID();
        const queue = new PostgresBackend({ url: suite.url, name, logger: silentLogger });
        let number = 0;
        /** What each transaction has published, and before its savepoint. */
        const open = clients.map(() => ({ all: [] as Sent[], saved: undefined as Sent[] | undefined, isOpen: false }));
        type Sent = { readonly number: number; readonly id: string | undefined };
        /** Each entry: the messages of a transaction, or a plain one. */
        const committed: { readonly numbers: readonly number[]; readonly isPlain: boolean }[] = [];

        for (const { client: index, action, id: suffix } of steps) {
          const [client, transaction] = [clients[index], open[index]];
          if (client === undefined || transaction === undefined) {
            await queue.publish('key', { n: ++number });
            committed.push({ numbers: [number], isPlain: true });
            continue;
          }
          if (!transaction.isOpen) {
            await client.query('BEGIN');
            Object.assign(transaction, { all: [], saved: undefined, isOpen: true });
          }
          if (action === 'publish') {
            // No other transaction uses the id: it would wait.
            const id = suffix === null ? undefined : `${index}-${suffix}-${committed.length}`;
            await queue.within(client).publish('key', { n: ++number }, { id });
            if (id === undefined || !transaction.all.some((sent) => sent.id === id))
              transaction.all.push({ number, id });
          } else if (action === 'SAVEPOINT s') {
            await client.query(action);
            transaction.saved = [...transaction.all];
          } else if (action === 'ROLLBACK TO s') {
            if (transaction.saved === undefined) continue;
            await client.query(action);
            transaction.all = [...transaction.saved];
          } else {
            await client.query(action);
            transaction.isOpen = false;
            if (action === 'COMMIT')
              committed.push({ numbers: transaction.all.map((sent) => sent.number), isPlain: false });
          }
        }
        for (const [index, client] of clients.entries()) if (open[index]?.isOpen) await client.query('ROLLBACK');

        const taken = await takeAll(queue);
        await queue.close();
        const expected = committed.flatMap(({ numbers }) => numbers);
        expect([...taken].sort()).toEqual([...expected].sort());
        const placeOf = (sent: number) => taken.indexOf(sent);
        for (const { numbers } of committed)
          expect(numbers.map(placeOf)).toEqual(numbers.map(placeOf).sort((a, b) => a - b));
        // A plain publish comes after what was committed before it, and before what is committed later.
        for (const [nth, { numbers, isPlain }] of committed.entries()) {
          if (!isPlain) continue;
          const plain = placeOf(numbers[0] as number);
          const before = committed.slice(0, nth).flatMap((entry) => entry.numbers);
          const after = committed.slice(nth + 1).flatMap((entry) => entry.numbers);
          expect(before.filter((sent) => placeOf(sent) > plain)).toEqual([]);
          expect(after.filter((sent) => placeOf(sent) < plain)).toEqual([]);
        }
      }),
      { numRuns: 60 },
    );
  });
});

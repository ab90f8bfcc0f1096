import { ConfigurationError, InvalidMessageError, intercept, QueueClosedError } from 'sluice';
import type { PostgresBackend, Queryable } from 'sluice/postgres';
import { eventually } from '../support/eventually.js';
import { numberOf, take, takeAll } from '../support/postgres-messages.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { failureOf, stateOf } from '../support/promises.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

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

  it('passes the interceptors of the queue', async () => {
    const queue = suite.open();
    const intercepted = intercept(queue, {
      publish: ({ key, payload, options }, next) =>
        next({ key, payload: { wrapped: payload }, options: { ...options, headers: { by: 'us' } } }),
    });
    const client = await suite.begin();
    await intercepted.within(client).publish('order', { id: 1 });
    expect(await failureOf(intercepted.within(client).publish('', {}))).toBeInstanceOf(InvalidMessageError);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    await client.query('COMMIT');
    expect(await intercepted.peek()).toMatchObject([{ payload: { wrapped: { id: 1 } }, headers: { by: 'us' } }]);
    expect(() => intercepted.within({} as Queryable)).toThrow(TypeError);
  });

  describe('stores a message', () => {
    it('when the transaction commits, together with the rows of the application', async () => {
      const queue = suite.open();
      await suite.run('CREATE TABLE IF NOT EXISTS orders (id text)');
      const client = await suite.begin();
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
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 1 });
      await client.query('ROLLBACK');
      expect(await takeAll(queue)).toEqual([]);
    });

    it('never, if the connection is lost before the commit', async () => {
      const queue = suite.open();
      const client = await suite.begin();
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
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 1 });
      await expect(client.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
      await expect(queue.within(client).publish('order', { n: 2 })).rejects.toMatchObject({ code: '25P02' });
      await client.query('COMMIT'); // The server rolls back.
      expect(await takeAll(queue)).toEqual([]);
    });

    it('unless its savepoint was rolled back', async () => {
      const queue = suite.open();
      const client = await suite.begin();
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
      await queue.within(await suite.connect()).publish('order', { n: 1 });
      expect(await take(queue, 1)).toEqual([1]);
    });

    it('only for its group', async () => {
      const queue = suite.open({ groups: ['billing', 'audit'] });
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 1 }, { group: 'audit' });
      await client.query('COMMIT');
      expect([await queue.stats({ group: 'billing' }), await queue.stats({ group: 'audit' })]).toEqual([
        { ready: 0, unfinished: 0 },
        { ready: 1, unfinished: 1 },
      ]);
    });

    it('of any text', async () => {
      const queue = suite.open({ name: `${suite.name} '\\ "` });
      const client = await suite.begin();
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
      const [one, other] = [
        await suite.begin(`ISOLATION LEVEL ${level}`),
        await suite.begin(`ISOLATION LEVEL ${level}`),
      ];
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
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 1 });
      await client.query('COMMIT');
      expect(await waiting).toEqual([1]);
    });

    it('that began to wait during the transaction', async () => {
      const queue = suite.open();
      const client = await suite.begin('ISOLATION LEVEL REPEATABLE READ');
      await queue.within(client).publish('order', { n: 1 });
      const waiting = take(queue, 1);
      await eventually(async () => (await queue.groups())[0]?.consumers === 1);
      await client.query('COMMIT');
      expect(await waiting).toEqual([1]);
    });
  });

  describe('deduplicates by id', () => {
    it('within a transaction, and after its commit', async () => {
      const queue = suite.open();
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 1 }, { id: 'one' });
      await queue.within(client).publish('order', { n: 2 }, { id: 'one' });
      await client.query('COMMIT');
      await queue.publish('order', { n: 3 }, { id: 'one' });
      await queue.within(client).publish('order', { n: 4 }, { id: 'one' });
      expect(await takeAll(queue)).toEqual([1]);
    });

    it('and forgets the id of a transaction that rolls back', async () => {
      const queue = suite.open();
      const client = await suite.begin();
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
      const [one, other] = [await suite.begin(), await suite.begin()];
      await queue.within(one).publish('order', { n: 1 }, { id: 'one' });
      const second = queue.within(other).publish('order', { n: 2 }, { id: 'one' });
      await eventually(async () => (await suite.run('SELECT FROM pg_locks WHERE NOT granted')).length > 0);
      await one.query(end);
      await second;
      await other.query('COMMIT');
      expect(await takeAll(queue)).toEqual(stored);
    });

    it.each(['REPEATABLE READ', 'SERIALIZABLE'])(
      'and fails with a serialization failure if the id was stored after the snapshot of a transaction that is %s',
      async (level) => {
        const queue = suite.open();
        await queue.publish('order', { n: 1 });
        const client = await suite.begin(`ISOLATION LEVEL ${level}`);
        await client.query('SELECT');
        await queue.publish('order', { n: 2 }, { id: 'one' });
        const error = await failureOf(queue.within(client).publish('order', { n: 3 }, { id: 'one' }));
        expect(error).toMatchObject({ code: '40001' });
        await client.query('ROLLBACK');
        expect(await takeAll(queue)).toEqual([1, 2]);
      },
    );

    it('and a plain publish that waits for this id blocks no other message', async () => {
      const [queue, same] = [suite.open(), suite.open({ publishTimeout: 60_000, lease: 60_000 })];
      const client = await suite.begin();
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
      const client = await suite.begin();
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
      const client = counting(await suite.begin());
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
      const client = counting(await suite.begin());
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
    const client = await suite.begin();
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
    const client = await suite.begin();
    for (let number = 0; number < 10; number++)
      await queue.within(client).publish('order', { n: `open ${number}` }, { id: `open-${number}` });
    for (let round = 0; round < 5; round++) {
      const other = await suite.begin();
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
});

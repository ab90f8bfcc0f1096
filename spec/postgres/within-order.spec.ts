import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { PostgresBackend } from 'sluice/postgres';
import { numberOf, take, takeAll } from '../support/postgres-messages.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('PostgresBackend.within', () => {
  const suite = new PostgresSuite();

  describe('gives a message its place at the commit', () => {
    it('so that a transaction that commits first comes first', async () => {
      const queue = suite.open();
      const [early, late] = [await suite.begin(), await suite.begin()];
      await queue.within(early).publish('order', { n: 'published first' });
      await queue.within(late).publish('order', { n: 'committed first' });
      await late.query('COMMIT');
      await queue.publish('order', { n: 'between' });
      await early.query('COMMIT');
      expect(await takeAll(queue)).toEqual(['committed first', 'between', 'published first']);
    });

    it('so that a message that is published later and committed earlier comes first', async () => {
      const queue = suite.open();
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 'open' });
      await queue.publish('order', { n: 'plain' });
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual(['plain', 'open']);
    });

    it('and no later message overtakes it after the commit', async () => {
      const queue = suite.open();
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 'committed' });
      await client.query('COMMIT');
      await queue.publish('order', { n: 'plain' });
      expect(await takeAll(queue)).toEqual(['committed', 'plain']);
    });

    it('which it keeps when it is requeued', async () => {
      const queue = suite.open();
      const [one, other] = [await suite.begin(), await suite.begin()];
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
      const client = await suite.begin();
      const numbers = Array.from({ length: 50 }, (_, index) => index);
      await Promise.all(numbers.map((number) => queue.within(client).publish('order', { n: number })));
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual(numbers);
    });

    it('in the order of its transaction, also if that takes long', async () => {
      const queue = suite.open();
      const client = await suite.begin();
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
      const client = await suite.begin();
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
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 'second' }, { delay: 400 });
      await queue.within(client).publish('order', { n: 'first' }, { delay: 200 });
      await queue.publish('order', { n: 'plain' });
      await client.query('COMMIT');
      expect(await take(queue, 3)).toEqual(['plain', 'first', 'second']);
    });

    it('counts the delay from the publish', async () => {
      const queue = suite.open();
      const client = await suite.begin();
      await queue.within(client).publish('order', { n: 'due' }, { delay: 50 });
      await client.query('SELECT pg_sleep(0.1)');
      await client.query('COMMIT');
      expect(await takeAll(queue)).toEqual(['due']);
    });
  });

  it('keeps the order of transactions, loses, duplicates and invents no message', async () => {
    const clients = [await suite.connect(), await suite.connect(), await suite.connect()];
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

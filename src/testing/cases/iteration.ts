import assert from 'node:assert/strict';
import { type CaseContext, type FullIterator, rejectionOf, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { numberOf } from '../test-consumer.js';

const END = { done: true, value: undefined };

/** The two iterators of a queue. */
const FACES = ['consume()', 'the iterator of deliveries()'] as const;
type Face = (typeof FACES)[number];

function open(
  t: CaseContext,
  face: Face,
  queue: Awaited<ReturnType<CaseContext['open']>>,
  prefetch?: number,
): FullIterator<object> {
  return face === 'consume()' ? t.consume(queue, { prefetch }) : t.iterate(queue, { prefetch });
}

function itemNumber(face: Face, item: unknown): number {
  return numberOf(face === 'consume()' ? (item as object) : (item as { payload: object }).payload);
}

const both = (rule: (face: Face) => Definition) => FACES.map(rule);

/** Rules 6, 8 and 9 for iterators and `for await`. */
export const iteration: readonly Definition[] = [
  ...both((face) =>
    rule(8, `${face} answers concurrent next() calls in order, each with its own message`, async (t) => {
      const queue = await t.open();
      const iterator = open(t, face, queue);
      const settled: number[] = [];
      const calls = upTo(4).map((call) => iterator.next().finally(() => settled.push(call)));
      await t.publish(queue, upTo(4));
      const results = await t.within('four next() to resolve', Promise.all(calls));
      assert.deepEqual(
        results.map(({ value }) => itemNumber(face, value)),
        upTo(4),
      );
      assert.deepEqual(settled, upTo(4));
    }),
  ),

  ...both((face) =>
    rule(9, `return() of ${face} ends a waiting next() and loses no message`, async (t) => {
      const queue = await t.open();
      const iterator = open(t, face, queue);
      const pending = [iterator.next(), iterator.next()];
      assert.deepEqual(await t.within('return() to resolve', iterator.return()), END);
      for (const result of await t.within('the waiting next() to resolve', Promise.all(pending)))
        assert.deepEqual(result, END);
      await t.publish(queue, [1]);
      const consumer = t.addConsumer(queue);
      await t.receivesExactly(consumer, [1]);
      t.isAttempt(consumer.of(1), 1);
      for (const _ of upTo(3)) assert.deepEqual(await t.within('next() to resolve', iterator.next()), END);
    }),
  ),

  ...both((face) =>
    rule(9, `throw() of ${face} rejects with its error and ends it`, async (t) => {
      const queue = await t.open();
      await t.publish(queue, [1, 2, 3]);
      const iterator = open(t, face, queue, 2);
      await t.within('next() to resolve', iterator.next());
      const error = new Error('from outside');
      assert.equal(await t.within('throw() to reject', rejectionOf('throw()', iterator.throw(error))), error);
      assert.deepEqual(await t.within('next() to resolve', iterator.next()), END);
      const left = face === 'consume()' ? [2, 3] : [1, 2, 3];
      await t.counts(queue, { ready: left.length, unfinished: left.length });
      await t.receivesExactly(t.addConsumer(queue), left);
    }),
  ),

  ...both((face) =>
    rule(9, `${face} is its own iterator, and Symbol.asyncDispose ends it`, async (t) => {
      const queue = await t.open();
      const iterator = open(t, face, queue);
      assert.equal(iterator[Symbol.asyncIterator](), iterator);
      const pending = iterator.next();
      assert.equal(
        typeof iterator[Symbol.asyncDispose],
        'function',
        'Expected the iterator to have a method [Symbol.asyncDispose]',
      );
      await t.within('[Symbol.asyncDispose]() to resolve', Promise.resolve(iterator[Symbol.asyncDispose]()));
      assert.deepEqual(await t.within('the waiting next() to resolve', pending), END);
      assert.deepEqual(await t.within('next() to resolve', iterator.next()), END);
    }),
  ),

  rule(9, 'a payload of consume() is unfinished until next() is called again or the loop exits', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(4));
    const payloads = t.consume(queue, { prefetch: 1 });
    for (const n of [1, 2]) {
      const { value } = await t.within('next() to resolve', payloads.next());
      assert.equal(itemNumber('consume()', value), n);
      await t.counts(queue, { ready: 4 - n, unfinished: 5 - n });
    }
    await t.within('return() to resolve', payloads.return());
    await t.counts(queue, { ready: 2, unfinished: 2 });
  }),

  rule(9, 'a loop over consume() that exits acks its last payload and requeues the rest', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
    const leave = async (how: 'break' | 'throw') => {
      for await (const payload of queue.consume({ prefetch: 3 })) {
        if (how === 'throw') throw new Error(`in the body with ${numberOf(payload)}`);
        break;
      }
    };
    await t.within('the loop to end', leave('break'));
    await t.counts(queue, { ready: 5, unfinished: 5 });
    const error = await t.within('the loop to end', rejectionOf('a loop whose body throws', leave('throw')));
    assert.equal((error as Error).message, 'in the body with 2');
    await t.counts(queue, { ready: 4, unfinished: 4 });
    await t.receivesExactly(t.addConsumer(queue), [3, 4, 5, 6]);
  }),

  rule(6, 'a loop over deliveries() acks what its body did not settle, and nothing else', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(4));
    const seen: [n: number, attempt: number][] = [];
    const loop = async () => {
      for await (const delivery of queue.deliveries()) {
        const n = numberOf(delivery.payload);
        seen.push([n, delivery.attempt]);
        if (n === 2 && seen.length === 2) await delivery.nack();
        if (n === 3) await delivery.reject();
        if (n === 4) break;
      }
    };
    await t.within('the loop to end', loop());
    assert.deepEqual(
      seen.map(([n]) => n),
      [1, 2, 2, 3, 4],
    );
    await t.counts(queue, { ready: 1, unfinished: 1 });
    await t.receivesExactly(t.addConsumer(queue), [4]);
  }),
];

import assert from 'node:assert/strict';
import { type Definition, rule } from '../definition.js';
import { type FullIterator, rejectionOf, type Scene, upTo } from '../scene.js';
import { numberOf } from '../taker.js';

const END = { done: true, value: undefined };

/** Both ways to iterate over a queue, and how to know a message by its item. */
const FACES = ['consume()', 'the iterator of deliveries()'] as const;
type Face = (typeof FACES)[number];

function open(
  scene: Scene,
  face: Face,
  queue: Awaited<ReturnType<Scene['open']>>,
  prefetch?: number,
): FullIterator<object> {
  return face === 'consume()' ? scene.consume(queue, { prefetch }) : scene.iterate(queue, { prefetch });
}

function itemNumber(face: Face, item: unknown): number {
  return numberOf(face === 'consume()' ? (item as object) : (item as { payload: object }).payload);
}

const both = (rule: (face: Face) => Definition) => FACES.map(rule);

/** What `for await` rests on: rules 8 to 10 where a queue is iterated over. */
export const iteration: readonly Definition[] = [
  ...both((face) =>
    rule(8, `${face} answers several next() in flight in order, each with a message of its own`, async (scene) => {
      const queue = await scene.open();
      const iterator = open(scene, face, queue);
      const settled: number[] = [];
      const calls = upTo(4).map((call) => iterator.next().finally(() => settled.push(call)));
      await scene.publish(queue, upTo(4));
      const results = await scene.within('four next() to resolve', Promise.all(calls));
      assert.deepEqual(
        results.map(({ value }) => itemNumber(face, value)),
        upTo(4),
      );
      assert.deepEqual(settled, upTo(4));
    }),
  ),

  ...both((face) =>
    rule(9, `return() of ${face} ends a next() that waits, promptly, and loses no message`, async (scene) => {
      const queue = await scene.open();
      const iterator = open(scene, face, queue);
      const pending = [iterator.next(), iterator.next()];
      assert.deepEqual(await scene.within('return() to resolve', iterator.return()), END);
      for (const result of await scene.within('next() that waited to resolve', Promise.all(pending)))
        assert.deepEqual(result, END);
      await scene.publish(queue, [1]);
      const taker = scene.take(queue);
      await scene.gets(taker, [1]);
      scene.isAttempt(taker.of(1), 1);
      for (const _ of upTo(3)) assert.deepEqual(await scene.within('next() to resolve', iterator.next()), END);
    }),
  ),

  ...both((face) =>
    rule(9, `throw() of ${face} rejects with its error and ends it`, async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, [1, 2, 3]);
      const iterator = open(scene, face, queue, 2);
      await scene.within('next() to resolve', iterator.next());
      const error = new Error('from outside');
      assert.equal(await scene.within('throw() to reject', rejectionOf('throw()', iterator.throw(error))), error);
      assert.deepEqual(await scene.within('next() to resolve', iterator.next()), END);
      const left = face === 'consume()' ? [2, 3] : [1, 2, 3];
      await scene.counts(queue, { ready: left.length, unfinished: left.length });
      await scene.gets(scene.take(queue), left);
    }),
  ),

  ...both((face) =>
    rule(9, `${face} is its own iterator, and is ended by Symbol.asyncDispose`, async (scene) => {
      const queue = await scene.open();
      const iterator = open(scene, face, queue);
      assert.equal(iterator[Symbol.asyncIterator](), iterator);
      const pending = iterator.next();
      assert.equal(
        typeof iterator[Symbol.asyncDispose],
        'function',
        'Expected the iterator to have a method [Symbol.asyncDispose]',
      );
      await scene.within('[Symbol.asyncDispose]() to resolve', Promise.resolve(iterator[Symbol.asyncDispose]()));
      assert.deepEqual(await scene.within('next() that waited to resolve', pending), END);
      assert.deepEqual(await scene.within('next() to resolve', iterator.next()), END);
    }),
  ),

  rule(9, 'a payload of consume() is unfinished until next() is called again, or the loop has left', async (scene) => {
    const queue = await scene.open();
    await scene.publish(queue, upTo(4));
    const payloads = scene.consume(queue, { prefetch: 1 });
    for (const n of [1, 2]) {
      const { value } = await scene.within('next() to resolve', payloads.next());
      assert.equal(itemNumber('consume()', value), n);
      await scene.counts(queue, { ready: 4 - n, unfinished: 5 - n });
    }
    await scene.within('return() to resolve', payloads.return());
    await scene.counts(queue, { ready: 2, unfinished: 2 });
  }),

  rule(
    9,
    'a loop over consume() that is left has done with what it was handed, and gives back the rest',
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, upTo(6));
      const leave = async (how: 'break' | 'throw') => {
        for await (const payload of queue.consume({ prefetch: 3 })) {
          if (how === 'throw') throw new Error(`in the body with ${numberOf(payload)}`);
          break;
        }
      };
      await scene.within('the loop to end', leave('break'));
      await scene.counts(queue, { ready: 5, unfinished: 5 });
      const error = await scene.within('the loop to end', rejectionOf('a loop whose body throws', leave('throw')));
      assert.equal((error as Error).message, 'in the body with 2');
      await scene.counts(queue, { ready: 4, unfinished: 4 });
      await scene.gets(scene.take(queue), [3, 4, 5, 6]);
    },
  ),

  rule(
    6,
    'a loop over deliveries() acknowledges what its body did not settle, and leaves alone what it did',
    async (scene) => {
      const queue = await scene.open();
      await scene.publish(queue, upTo(4));
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
      await scene.within('the loop to end', loop());
      assert.deepEqual(
        seen.map(([n]) => n),
        [1, 2, 2, 3, 4],
      );
      await scene.counts(queue, { ready: 1, unfinished: 1 });
      await scene.gets(scene.take(queue), [4]);
    },
  ),
];

/**
 * `handle` under test, with marbles and in virtual time: results, a timeout, retries with backoff
 * and a dead letter.
 *
 * Under a `TestScheduler`, the queue and `handle` run in virtual time. Promises do not: they
 * resolve after the test has run. So the services in these tests return Observables, which `handle`
 * accepts.
 *
 *     npx tsx examples/processing-under-test.ts
 */
import assert from 'node:assert/strict';
import { map, NEVER, type Observable, of, throwError, timer } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { type Delivery, type HandleOptions, handle, MemoryBackend, type Outcome, type QueueBackend } from 'sluice';

interface OrderEvents {
  'orders.placed': { readonly order: string };
}

type Charge = (order: string) => Observable<string> | Promise<string>;

/**
 * The code under test. If a charge fails or takes longer than 10 ms, it is retried after 5 ms and
 * after 10 ms.
 */
function receipts(
  queue: QueueBackend<OrderEvents>,
  charge: Charge,
  options?: HandleOptions<Delivery<OrderEvents>>,
): Observable<string> {
  const retry = { count: 2, delay: (_error: unknown, retryCount: number) => 5 * retryCount };
  return queue.deliveries().pipe(handle(({ payload }) => charge(payload.order), { timeout: 10, retry, ...options }));
}

const silent = { debug() {}, warn() {}, error() {} };
const newScheduler = () => new TestScheduler((actual, expected) => assert.deepEqual(actual, expected));

// One at a time, in order.
newScheduler().run(({ cold, expectObservable, flush }) => {
  const queue = new MemoryBackend<OrderEvents>();
  const orders = cold('  a-b-c---------|');
  const expected = '     ---a--b--c-----';
  const unsub = '        --------------!';

  orders.subscribe((order) => void queue.publish('orders.placed', { order }));
  const charge = (order: string) => timer(3).pipe(map(() => order));
  expectObservable(receipts(queue, charge), unsub).toBe(expected);
  flush();
  assert.equal(queue.unfinished, 0);
});

// The first attempt hangs until the timeout, the second fails immediately, the third takes 3 ms.
newScheduler().run(({ expectObservable, flush }) => {
  const queue = new MemoryBackend<OrderEvents>();
  const outcomes: Outcome[] = [];
  const tries = [NEVER, throwError(() => new Error('503')), timer(3).pipe(map(() => 'r'))];
  const expected = `     10ms 5ms 10ms 3ms r`;
  const unsub = '        40ms !';

  void queue.publish('orders.placed', { order: 'a' });
  const charge = () => tries.shift() ?? NEVER;
  expectObservable(
    receipts(queue, charge, { logger: silent, onOutcome: (outcome) => outcomes.push(outcome) }),
    unsub,
  ).toBe(expected);
  flush();
  assert.deepEqual(
    outcomes.map(({ status, duration, delivery }) => [delivery.attempt, status, duration]),
    [
      [1, 'retried', 10],
      [2, 'retried', 0],
      [3, 'acked', 3],
    ],
  );
  assert.equal(queue.unfinished, 0);
});

// After the last attempt, the message becomes a dead letter and the stream continues.
newScheduler().run(({ expectObservable, flush }) => {
  const queue = new MemoryBackend<OrderEvents>();
  const failed = new MemoryBackend<OrderEvents>();
  const charge = (order: string) => (order === 'a' ? throwError(() => new Error('The card has expired')) : of(order));

  void queue.publish('orders.placed', { order: 'a' });
  void queue.publish('orders.placed', { order: 'b' }, { delay: 20 });
  expectObservable(receipts(queue, charge, { logger: silent, deadLetter: failed }), '30ms !').toBe('20ms b');
  expectObservable(failed.deliveries().pipe(map(({ headers }) => headers['sluice-attempts'])), '30ms !').toBe('15ms 3');
  flush();
  assert.equal(queue.unfinished, 0);
});

console.log('3 marble tests passed');

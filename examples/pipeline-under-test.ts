/**
 * A reactive pipeline and its marble tests.
 *
 * The queue takes effect synchronously, and its timers run on RxJS's schedulers. So under a
 * `TestScheduler`, a pipeline over a real queue is as deterministic as over a cold Observable, and
 * a minute takes no time.
 *
 *     npx tsx examples/pipeline-under-test.ts
 */
import assert from 'node:assert/strict';
import { bufferTime, filter, map, type Observable, tap } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { MemoryBackend, type QueueBackend } from 'sluice';

interface SensorEvents {
  temperature: { readonly celsius: number };
}

/** The code under test. Every 10 ms, emits an alarm with the hot readings and acknowledges them. */
function alarms(queue: QueueBackend<SensorEvents>): Observable<string> {
  return queue.deliveries().pipe(
    bufferTime(10),
    filter((batch) => batch.length > 0),
    tap((batch) => {
      for (const delivery of batch) void delivery.ack();
    }),
    map((batch) => batch.map(({ payload }) => payload.celsius).filter((celsius) => celsius > 40)),
    filter((hot) => hot.length > 0),
    map((hot) => hot.join(' ')),
  );
}

const newScheduler = () => new TestScheduler((actual, expected) => assert.deepEqual(actual, expected));

newScheduler().run(({ cold, expectObservable, flush }) => {
  const queue = new MemoryBackend<SensorEvents>();
  const readings = cold(' --a-b-------c------------| ', { a: 41, b: 20, c: 55 });
  const unsub = '        --------------------------!';
  const expected = '     ----------p---------q------';

  readings.subscribe((celsius) => void queue.publish('temperature', { celsius }));
  expectObservable(alarms(queue), unsub).toBe(expected, { p: '41', q: '55' });
  flush();
  assert.equal(queue.unfinished, 0);
});

newScheduler().run(({ expectObservable, flush }) => {
  const queue = new MemoryBackend<SensorEvents>();
  // A delayed message and a retry, in virtual time.
  void queue.publish('temperature', { celsius: 50 }, { delay: 5 });
  const attempts = queue.deliveries().pipe(
    tap((delivery) => void (delivery.attempt < 3 ? delivery.nack({ delay: 4 }) : delivery.ack())),
    map(({ attempt }) => `${attempt}`),
  );
  expectObservable(attempts, '                 -------------------!').toBe('-----1---2---3');
  flush();
  assert.equal(queue.unfinished, 0);
});

console.log('2 marble tests passed');

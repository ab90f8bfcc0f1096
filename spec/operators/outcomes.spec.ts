import { asyncScheduler, NEVER, of, timer } from 'rxjs';
import { type Delivery, handle, MemoryBackend, type Outcome } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { Handled, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

describe('Outcomes of handle', () => {
  it('are emitted once per run: acked, retried, dead-lettered, rejected, released', async () => {
    const deadLetter = new MemoryBackend({ logger: silentLogger });
    for (const [target, last] of [
      [deadLetter, 'dead-lettered'],
      [undefined, 'rejected'],
    ] as const) {
      const processing = new Processing(
        ({ payload }) => {
          if (numberOf(payload) === 2) throw new Error('boom');
          return numberOf(payload) === 3 ? NEVER : 'fine';
        },
        { concurrency: 2, retry: { count: 1, delay: 1 }, deadLetter: target },
      );
      processing.publish(upTo(3));
      await processing.pass(1);
      processing.subscription.unsubscribe();
      expect(processing.statuses).toEqual(['1#1 acked', '2#1 retried', `2#2 ${last}`, '3#1 released']);
      expect(processing.outcomes.map((outcome) => 'error' in outcome)).toEqual([false, true, true, false]);
    }
  });

  it('follow the settlement', () => {
    const settled: unknown[] = [];
    const fail = () => {
      throw new Error('boom');
    };
    for (const count of [0, 1]) {
      const processing = new Processing(fail, {
        retry: { count },
        onOutcome: ({ delivery }) => settled.push(delivery.settled),
      });
      processing.publish([1]);
    }
    expect(settled).toEqual(['rejected', 'retried']);
  });

  it('contain the duration of the handler by the scheduler', async () => {
    const processing: Processing = new Processing(
      ({ payload, attempt }) => {
        const { scheduler } = processing.clock;
        if (numberOf(payload) === 1) return timer(250, scheduler);
        if (attempt === 2) return undefined;
        return new Promise((_, reject) => scheduler.schedule(() => reject(new Error('boom')), 40));
      },
      { retry: { delay: 1000 } },
    );
    processing.publish([1, 2]);
    await processing.pass(250);
    await processing.pass(40);
    await processing.pass(1000);
    expect(processing.outcomes.map(({ status, duration }) => [status, duration])).toEqual([
      ['acked', 250],
      ['retried', 40],
      ['acked', 0],
    ]);
  });

  it.each<[string, () => unknown]>([
    ['returned a value', () => 'done'],
    ['returned an Observable', () => of('done')],
    ['returned a promise', async () => 'done'],
    [
      'threw',
      () => {
        throw new Error('boom');
      },
    ],
  ])('do not include idle time after a handler that %s', async (_, first) => {
    const processing: Processing = new Processing(
      ({ payload }) => (numberOf(payload) === 1 ? first() : timer(10, processing.clock.scheduler)),
      {
        retry: { count: 0 },
      },
    );
    await processing.pass(50);
    processing.publish([1]);
    await processing.pass(500);
    processing.publish([2]);
    await processing.pass(10);
    processing.publish([3, 4]);
    await processing.pass(20);
    expect(processing.outcomes.map(({ duration }) => duration)).toEqual([0, 10, 10, 10]);
  });

  it('do not include the time of a slow subscriber of results', async () => {
    let now = 0;
    const scheduler = { now: () => now, schedule: asyncScheduler.schedule.bind(asyncScheduler) };
    const queue = new MemoryBackend();
    void publishAll(queue, [1, 2, 3]);
    const durations: number[] = [];
    queue
      .deliveries()
      .pipe(handle(async () => 'done', { scheduler, onOutcome: ({ duration }) => durations.push(duration) }))
      .subscribe(() => {
        now += 100;
      });
    await turns();
    expect(durations).toEqual([0, 0, 0]);
  });

  it('do not include the time of a handler that was started before', async () => {
    let now = 1000;
    const scheduler = { now: () => now, schedule: asyncScheduler.schedule.bind(asyncScheduler) };
    const queue = new MemoryBackend();
    const durations: [number, number][] = [];
    const handler = ({ payload }: Delivery) => {
      const n = numberOf(payload);
      // The second starts when the first ends. It queues the third, blocks the thread, and then
      // waits.
      if (n === 2) {
        void queue.publish('another', { n: 3 });
        now += 100;
      }
      return Promise.resolve();
    };
    const onOutcome = ({ delivery, duration }: Outcome) => void durations.push([numberOf(delivery.payload), duration]);
    queue
      .deliveries()
      .pipe(handle(handler, { concurrency: 2, orderBy: 'key', scheduler, onOutcome }))
      .subscribe();
    void queue.publish('one', { n: 1 });
    void queue.publish('one', { n: 2 });
    await turns();
    expect(durations).toEqual([
      [1, 0],
      [2, 100],
      [3, 0],
    ]);
  });

  it('contain the duration of each concurrent handler', async () => {
    const lengths = [30, 10, 20, 5, 40, 1];
    const processing: Processing = new Processing(
      ({ payload }) => timer(lengths[numberOf(payload)] as number, processing.clock.scheduler),
      {
        concurrency: 2,
      },
    );
    await processing.pass(7);
    processing.publish([0, 1, 2, 3, 4, 5]);
    await processing.pass(200);
    expect(processing.outcomes.map(({ delivery, duration }) => [numberOf(delivery.payload), duration]).sort()).toEqual(
      lengths.map((length, n) => [n, length]),
    );
  });

  it('contain the duration of an unsubscribed handler, and 0 for one that never ran', () => {
    const processing = new Processing(() => NEVER);
    processing.publish([1, 2]);
    processing.clock.advance(77);
    processing.subscription.unsubscribe();
    expect(
      processing.outcomes.map(({ delivery, status, duration }) => [numberOf(delivery.payload), status, duration]),
    ).toEqual([
      [1, 'released', 77],
      [2, 'released', 0],
    ]);
  });

  it('do not include the time of waiting for a slot or of dead-lettering', async () => {
    const processing: Processing = new Processing(
      () => new Promise((_, reject) => processing.clock.scheduler.schedule(() => reject(new Error('boom')), 10)),
      {
        retry: { count: 0 },
        deadLetter: () => new Promise((resolve) => processing.clock.scheduler.schedule(() => resolve(), 500)),
      },
    );
    processing.publish([1, 2]);
    await processing.pass(10);
    await processing.pass(10);
    await processing.pass(500);
    expect(processing.outcomes.map(({ duration }) => duration)).toEqual([10, 10]);
  });

  it('are logged and otherwise ignored if onOutcome throws', async () => {
    const processing = new Processing(
      ({ payload, attempt }) => {
        if (numberOf(payload) === 2 && attempt === 1) throw new Error('boom');
        return numberOf(payload);
      },
      {
        retry: { delay: 1 },
        onOutcome: () => {
          throw new Error('metrics are down');
        },
      },
    );
    processing.publish(upTo(3));
    await processing.pass(1);
    expect(processing.values).toEqual([1, 3, 2]);
    expect(processing.queue.unfinished).toBe(0);
    expect(processing.logger.errors.filter((message) => message.includes('metrics are down')).length).toBe(4);
  });

  it('may unsubscribe and leave nothing running', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const runs: number[] = [];
    const handled: Handled = new Handled(queue.deliveries(), ({ payload }) => void runs.push(numberOf(payload)), {
      onOutcome: ({ status }) => {
        if (status === 'acked') handled.subscription.unsubscribe();
      },
    });
    for (const n of upTo(3)) void queue.publish('number', { n });
    await turns();
    expect(runs).toEqual([1]);
    expect([queue.size, queue.inFlight]).toEqual([2, 0]);
  });

  it('contain the delivery of the handler', () => {
    const seen: unknown[] = [];
    const outcomes: Outcome[] = [];
    const processing = new Processing((delivery) => void seen.push(delivery), {
      onOutcome: (outcome) => outcomes.push(outcome),
    });
    processing.publish([1]);
    expect(outcomes[0]?.delivery).toBe(seen[0]);
  });
});

import { finalize, from, mergeMap, Observable, of, Subject, timer } from 'rxjs';
import { type Delivery, MemoryBackend } from 'sluice';
import { numberOf, upTo } from '../support/consumers.js';
import { FakeDelivery, Handled, Jobs, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

describe('Concurrency of handle', () => {
  it('is 1 by default, in order', async () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler);
    processing.publish(upTo(3));
    for (const n of upTo(3)) {
      expect(jobs.running).toEqual([n]);
      await jobs.finish(n);
    }
    expect([jobs.peak, processing.queue.unfinished]).toEqual([1, 0]);
  });

  it.each([2, 3, 8])(
    'of %p is reached but never exceeded, and free slots are refilled immediately',
    async (concurrency) => {
      const jobs = new Jobs();
      const processing = new Processing(jobs.handler, { concurrency, retry: { count: 0 } });
      processing.publish(upTo(30));
      let end: 'finish' | 'fail' = 'finish';
      while (jobs.running.length > 0) {
        expect(jobs.running.length).toBe(Math.min(concurrency, processing.queue.unfinished));
        const chosen = jobs.running[processing.outcomes.length % jobs.running.length] as number;
        await jobs[end](chosen);
        end = end === 'finish' ? 'fail' : 'finish';
      }
      expect([jobs.peak, jobs.started.length, processing.outcomes.length]).toEqual([concurrency, 30, 30]);
      expect(processing.queue.unfinished).toBe(0);
    },
  );

  it('counts Observables until they complete', () => {
    let [running, peak] = [0, 0];
    const processing: Processing = new Processing(
      () => {
        peak = Math.max(peak, ++running);
        return timer(10, processing.clock.scheduler).pipe(finalize(() => running--));
      },
      { concurrency: 3 },
    );
    processing.publish(upTo(7));
    expect(running).toBe(3);
    processing.clock.advance(10);
    expect([running, processing.values.length]).toEqual([3, 3]);
    processing.clock.advance(20);
    expect([running, peak, processing.values.length]).toEqual([0, 3, 7]);
  });

  it('counts async iterables until they end', async () => {
    let [running, peak] = [0, 0];
    const processing = new Processing(
      async function* () {
        peak = Math.max(peak, ++running);
        await turns(1);
        yield 1;
        await turns(1);
        running--;
      },
      { concurrency: 2 },
    );
    processing.publish(upTo(5));
    await turns(20);
    expect([running, peak, processing.values.length, processing.queue.unfinished]).toEqual([0, 2, 5, 0]);
  });

  it('counts a handler that publishes to its own queue', () => {
    let [running, peak, left] = [0, 0, 50];
    const processing: Processing = new Processing(() => {
      peak = Math.max(peak, ++running);
      if (left-- > 0) processing.publish([left]);
      running--;
    });
    processing.publish([0]);
    expect([peak, processing.outcomes.length]).toEqual([1, 51]);
  });

  it('holds for a source without a prefetch', async () => {
    const jobs = new Jobs();
    const source = new Subject<Delivery>();
    const handled = new Handled(source, jobs.handler, { concurrency: 2 });
    const deliveries = upTo(5).map((n) => new FakeDelivery(n));
    for (const delivery of deliveries) source.next(delivery);
    expect(jobs.running).toEqual([1, 2]);
    for (const n of upTo(5)) await jobs.finish(n);
    expect([jobs.peak, handled.statuses.length]).toEqual([2, 5]);
    expect(deliveries.map(({ calls }) => calls)).toEqual(upTo(5).map(() => ['ack']));
  });

  it('is kept for handlers that throw, return and wait', async () => {
    const seen: number[] = [];
    const kinds = [
      () => 1,
      () => {
        throw new Error('boom');
      },
      async () => 1,
      () => of(1),
      () => from([Promise.resolve(1)]).pipe(mergeMap((promise) => promise)),
    ];
    const processing = new Processing(
      ({ payload }) => {
        seen.push(numberOf(payload));
        return kinds[numberOf(payload) % kinds.length]?.();
      },
      { concurrency: 1, retry: { count: 0 } },
      { prefetch: 100 },
    );
    processing.publish(upTo(100));
    await turns(50);
    expect(seen).toEqual(upTo(100));
    expect(processing.queue.unfinished).toBe(0);
  });

  it('is limited by the prefetch of the stream', () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { concurrency: 8 }, { prefetch: 3 });
    processing.publish(upTo(10));
    expect(jobs.running).toEqual([1, 2, 3]);
    processing.subscription.unsubscribe();
  });

  it('applies to each subscription separately', () => {
    const jobs = new Jobs();
    const [first, second] = [new Processing(jobs.handler), new Processing(jobs.handler)];
    first.publish([1, 2]);
    second.publish([3, 4]);
    expect(jobs.running).toEqual([1, 3]);
  });
});

describe('Stack of handle', () => {
  const MANY = 100_000;
  const BOOM = new Error('boom');

  it.each<[string, () => unknown]>([
    ['return a value', () => 1],
    ['return an Observable', () => of(1)],
    [
      'throw',
      () => {
        throw BOOM;
      },
    ],
  ])('does not grow with a hundred thousand deliveries at once to handlers that %s', async (_, handler) => {
    const source = new Observable<Delivery>((subscriber) => {
      for (const n of upTo(MANY)) subscriber.next(new FakeDelivery(n));
      subscriber.complete();
    });
    let handled = 0;
    const { completed } = await new Promise<Handled>((resolve) => {
      const run = new Handled(source, handler, {
        logger: silentLogger,
        retry: { count: 0 },
        onOutcome: () => handled++,
      });
      void (async () => {
        while (!run.completed) await turns(1);
        resolve(run);
      })();
    });
    expect([completed, handled]).toEqual([true, MANY]);
  });

  it.each([8, MANY])(
    'does not grow if each of a hundred thousand handlers causes the next delivery (concurrency %p)',
    async (concurrency) => {
      const source = new Subject<Delivery>();
      let runs = 0;
      const handled = new Handled(
        source,
        ({ payload }) => {
          runs++;
          const n = numberOf(payload);
          if (n < MANY) source.next(new FakeDelivery(n + 1));
          else source.complete();
        },
        { concurrency },
      );
      source.next(new FakeDelivery(1));
      while (!handled.completed) await turns(1);
      expect([runs, handled.outcomes.length]).toEqual([MANY, MANY]);
    },
  );

  it.each<[string, 'key' | undefined]>([
    ['without order', undefined],
    ['in one lane', 'key'],
  ])('does not grow if the first of a hundred thousand blocks the others, %s', async (_, orderBy) => {
    let go = (): void => {};
    const queue = new MemoryBackend({ logger: silentLogger });
    const first = new Promise<void>((resolve) => {
      go = resolve;
    });
    let seen = 0;
    const handled = new Handled(queue.deliveries({ prefetch: MANY }), () => (seen++ === 0 ? first : undefined), {
      orderBy,
    });
    for (const n of upTo(MANY)) queue.tryPublish('number', { n });
    expect(seen).toBe(1);
    go();
    await queue.join();
    expect([seen, handled.outcomes.length]).toEqual([MANY, MANY]);
    expect(handled.statuses.at(-1)).toBe(`${MANY}#1 acked`);
  });
});

import { Subject } from 'rxjs';
import type { Delivery } from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { FakeDelivery, Handled, Jobs, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';

const WAYS: [string, (processing: Processing, controller: AbortController) => void][] = [
  ['Aborting `signal`', (_, controller) => controller.abort()],
  ['Unsubscribing', ({ subscription }) => subscription.unsubscribe()],
];

/** A lane of three messages, of which the first waits for a retry. */
async function withWaitingRetry(signal: AbortSignal) {
  const jobs = new Jobs();
  const processing = new Processing(jobs.handler, {
    concurrency: 4,
    orderBy: 'key',
    signal,
    retry: { count: 3, delay: 1000 },
  });
  processing.publish(upTo(3));
  await jobs.fail(1);
  return { jobs, processing };
}

describe.each(WAYS)('%s with handle in lanes', (_, end) => {
  it('nacks a message that waits for a retry and releases its lane, which keeps the order', async () => {
    const controller = new AbortController();
    const { jobs, processing } = await withWaitingRetry(controller.signal);
    end(processing, controller);
    expect([processing.clock.timers, processing.queue.inFlight]).toEqual([0, 0]);
    expect(new Holder(processing.queue).attempts).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
    expect(processing.outcomes.map(({ delivery }) => delivery.settled)).toEqual(['retried', 'released', 'released']);
    expect(processing.statuses).toEqual(['1#1 retried', '2#1 released', '3#1 released']);
    await processing.pass(100_000);
    expect(jobs.started).toEqual(['1#1']);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('passes the lane to another consumer in order', async () => {
    const controller = new AbortController();
    const { processing } = await withWaitingRetry(controller.signal);
    const other = new Holder(processing.queue);
    expect(other.attempts).toEqual([]);
    end(processing, controller);
    expect(other.attempts).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
  });
});

describe('Aborting `signal` with handle in lanes', () => {
  it('finishes the running message and starts no other of its lane', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { concurrency: 4, orderBy: 'key', signal: controller.signal });
    processing.publish(upTo(3));
    controller.abort();
    await jobs.finish(1, 'one');
    expect([processing.values, processing.completed, jobs.started]).toEqual([['one'], true, ['1#1']]);
    expect(new Holder(processing.queue).attempts).toEqual([
      [2, 1],
      [3, 1],
    ]);
  });

  it('nacks a failing message without a delay, so that others do not overtake it', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, {
      concurrency: 4,
      orderBy: 'key',
      signal: controller.signal,
      retry: { delay: 1000 },
    });
    processing.publish(upTo(3));
    controller.abort();
    await jobs.fail(1);
    expect([processing.completed, processing.clock.timers]).toEqual([true, 0]);
    expect(processing.statuses).toEqual(['1#1 retried', '2#1 released', '3#1 released']);
    expect(new Holder(processing.queue).attempts).toEqual([
      [1, 2],
      [2, 1],
      [3, 1],
    ]);
  });

  it('requeues a message that waits for a retry immediately and completes when other lanes are done', async () => {
    const controller = new AbortController();
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, {
      concurrency: 4,
      orderBy: 'key',
      signal: controller.signal,
      retry: { delay: 1000 },
    });
    processing.publish(upTo(4), (n) => String(n % 2));
    await jobs.fail(1);
    controller.abort();
    await processing.pass(0);
    expect([jobs.running, processing.completed, processing.clock.timers]).toEqual([[2], false, 0]);
    await jobs.finish(2);
    expect(processing.completed).toBe(true);
    expect(new Holder(processing.queue).attempts).toEqual([
      [1, 2],
      [3, 1],
      [4, 1],
    ]);
  });

  it.each<[string, 'delay' | 'log' | 'outcome']>([
    ['`retry.delay`', 'delay'],
    ['the logger', 'log'],
    ['onOutcome', 'outcome'],
  ])('inside %s leaves no timer, does not wait for the retry, and reports the error', async (_, where) => {
    const controller = new AbortController();
    const abort = (place: string) => {
      if (place === where) controller.abort();
    };
    const boom = new Error('boom');
    const errors: unknown[] = [];
    const processing = new Processing(() => Promise.reject(boom), {
      orderBy: 'key',
      signal: controller.signal,
      onOutcome: ({ error }) => {
        errors.push(error);
        abort('outcome');
      },
      logger: { ...silentLogger, warn: () => abort('log') },
      retry: {
        delay: () => {
          abort('delay');
          return 1000;
        },
      },
    });
    processing.publish([1, 2]);
    await turns();
    expect([processing.clock.timers, processing.completed]).toEqual([0, true]);
    expect(processing.statuses).toEqual(['1#1 retried', '2#1 released']);
    expect(errors).toEqual([boom, undefined]);
    expect(new Holder(processing.queue).attempts).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });
});

describe.each<[string, (handled: Handled, controller: AbortController) => void]>([
  ['Aborting `signal`', (_, controller) => controller.abort()],
  ['Unsubscribing', ({ subscription }) => subscription.unsubscribe()],
])('%s inside orderBy', (_, end) => {
  it.each([true, false])('releases the current delivery without handling it (another one runs: %p)', async (busy) => {
    const controller = new AbortController();
    const source = new Subject<Delivery>();
    const jobs = new Jobs();
    const handled: Handled = new Handled(source, jobs.handler, {
      signal: controller.signal,
      concurrency: 4,
      orderBy: ({ payload }) => {
        if (numberOf(payload) === 2) end(handled, controller);
        return numberOf(payload);
      },
    });
    const deliveries = [new FakeDelivery(1), new FakeDelivery(2)];
    for (const delivery of busy ? deliveries : deliveries.slice(1)) source.next(delivery);
    await turns();
    if (jobs.running.length > 0) await jobs.finish(1);
    expect([jobs.started, deliveries[1]?.calls]).toEqual([busy ? ['1#1'] : [], ['release']]);
    expect(source.observed).toBe(false);
  });
});

describe('Unsubscribing from handle in lanes', () => {
  it('releases the running message and its lane in order', () => {
    const jobs = new Jobs();
    const processing = new Processing(jobs.handler, { concurrency: 4, orderBy: 'key' });
    processing.publish(upTo(3));
    processing.subscription.unsubscribe();
    expect(jobs.signals.get(1)?.aborted).toBe(true);
    expect(new Holder(processing.queue).attempts).toEqual(upTo(3).map((n) => [n, 1]));
  });

  it.each<[string, 'delay' | 'log' | 'outcome']>([
    ['`retry.delay`', 'delay'],
    ['the logger', 'log'],
    ['onOutcome', 'outcome'],
  ])('inside %s leaves no timer', async (_, where) => {
    const leave = (place: string) => {
      if (place === where) processing.subscription.unsubscribe();
    };
    const processing: Processing = new Processing(() => Promise.reject(new Error('boom')), {
      orderBy: 'key',
      onOutcome: () => leave('outcome'),
      logger: { ...silentLogger, warn: () => leave('log') },
      retry: {
        delay: () => {
          leave('delay');
          return 1000;
        },
      },
    });
    processing.publish([1, 2]);
    await turns();
    expect([processing.clock.timers, processing.queue.inFlight]).toEqual([0, 0]);
  });
});

describe('An error of the source of handle in lanes', () => {
  it('requeues a message that waits for a retry and its lane', async () => {
    const source = new Subject<Delivery>();
    const jobs = new Jobs();
    const handled = new Handled(source, jobs.handler, { orderBy: 'key', retry: { delay: 1_000_000 } });
    const deliveries = upTo(3).map((n) => new FakeDelivery(n));
    for (const delivery of deliveries) source.next(delivery);
    await jobs.fail(1);
    source.error(new Error('source'));
    await turns();
    expect(deliveries.map(({ calls }) => calls)).toEqual([['nack'], ['release'], ['release']]);
    expect(handled.error).toMatchObject({ message: 'source' });
  });
});

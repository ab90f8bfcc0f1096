import { type DeadLetterFunction, type Delivery, type HandleOptions, MemoryBackend, type QueueBackend } from 'sluice';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';

const GONE = new Error('dead letters are gone');

/** A queue in which message 1 fails, and the times at which its dead letter was published. */
function undeliverable(times: number, deadLetter: DeadLetterFunction, options: HandleOptions = {}) {
  const tries: number[] = [];
  const runs: string[] = [];
  const processing: Processing = new Processing(
    ({ payload, attempt }) => {
      runs.push(`${numberOf(payload)}#${attempt}`);
      if (numberOf(payload) === 1) throw new Error('boom');
    },
    {
      retry: { count: 0, delay: 5 },
      deadLetter: (...call) => {
        tries.push(processing.clock.scheduler.frame);
        return tries.length <= times ? deadLetter(...call) : undefined;
      },
      ...options,
    },
  );
  return { processing, tries, runs };
}

const fails: DeadLetterFunction = () => Promise.reject(GONE);
const throws: DeadLetterFunction = () => {
  throw GONE;
};
const FOR_EVER = Number.POSITIVE_INFINITY;

describe('A dead letter of handle that cannot be delivered', () => {
  it.each<[string, DeadLetterFunction]>([
    ['rejects', fails],
    ['throws', throws],
  ])('is retried after at least a second without another run of the handler, if it %s', async (_, deadLetter) => {
    const { processing, tries, runs } = undeliverable(2, deadLetter);
    processing.publish([1]);
    await turns();
    expect([tries, processing.outcomes, processing.queue.inFlight]).toEqual([[0], [], 1]);
    await processing.pass(999);
    expect(tries).toEqual([0]);
    await processing.pass(1);
    expect(tries).toEqual([0, 1000]);
    await processing.pass(1000);
    expect(tries).toEqual([0, 1000, 2000]);
    expect(runs).toEqual(['1#1']);
    expect(processing.statuses).toEqual(['1#1 dead-lettered']);
    expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
  });

  it('receives the same delivery and error each time', async () => {
    const calls: unknown[][] = [];
    const { processing } = undeliverable(2, (delivery, error) => {
      calls.push([delivery.id, delivery.attempt, error]);
      throw GONE;
    });
    processing.publish([1]);
    await processing.pass(1000);
    expect(calls.length).toBe(2);
    expect(calls[1]).toEqual(calls[0]);
    expect(calls[0]?.[2]).toMatchObject({ message: 'boom' });
  });

  it('waits for `retry.delay` if that is longer than a second, by its own number of retries', async () => {
    const asked: [unknown, number, number][] = [];
    const delay = (error: unknown, retryCount: number, { payload }: Delivery) => {
      asked.push([error, retryCount, numberOf(payload)]);
      return retryCount * 1500;
    };
    const { processing, tries } = undeliverable(2, throws, { retry: { count: 0, delay } });
    processing.publish([1]);
    for (const _ of upTo(10)) await processing.pass(500);
    expect(tries).toEqual([0, 1500, 4500]);
    expect(asked).toEqual([
      [GONE, 1, 1],
      [GONE, 2, 1],
    ]);
  });

  it('is retried although `retry.delay` throws', async () => {
    const delay = () => {
      throw new Error('no idea');
    };
    const { processing, tries } = undeliverable(1, throws, { retry: { count: 0, delay } });
    processing.publish([1]);
    await processing.pass(100_000);
    expect(tries.length).toBe(2);
    expect(processing.statuses).toEqual(['1#1 dead-lettered']);
  });

  it('frees its slot and keeps its credit', async () => {
    const { processing, runs } = undeliverable(FOR_EVER, throws);
    processing.publish([1, 2, 3]);
    await processing.pass(10_000);
    expect(runs).toEqual(['1#1', '2#1', '3#1']);
    expect([processing.queue.inFlight, processing.queue.size]).toEqual([1, 0]);
    expect(processing.logger.errors.length).toBeGreaterThanOrEqual(10);
    expect(processing.logger.errors[0]).toContain(GONE.message);
    processing.subscription.unsubscribe();
  });

  it('is released with its error if `signal` aborts while it waits', async () => {
    const controller = new AbortController();
    const { processing, tries, runs } = undeliverable(FOR_EVER, throws, { signal: controller.signal });
    processing.publish([1, 2]);
    await processing.pass(100);
    controller.abort();
    expect([processing.completed, processing.statuses]).toEqual([true, ['2#1 acked', '1#1 released']]);
    expect(processing.outcomes[1]).toMatchObject({ error: { message: 'boom' }, delivery: { settled: 'released' } });
    expect([processing.clock.timers, listenersOf(controller.signal)]).toEqual([0, 0]);
    await processing.pass(100_000);
    expect([tries.length, runs]).toEqual([1, ['1#1', '2#1']]);
    expect(new Holder(processing.queue).attempts).toEqual([[1, 1]]);
  });

  it('is released if it was being published when `signal` aborted, and fails', async () => {
    const controller = new AbortController();
    let fail = (_: unknown): void => {};
    const deadLetter = () =>
      new Promise<void>((_, reject) => {
        fail = reject;
      });
    const { processing, tries } = undeliverable(FOR_EVER, deadLetter, { signal: controller.signal });
    processing.publish([1]);
    await turns();
    controller.abort();
    expect([processing.completed, processing.queue.inFlight]).toEqual([false, 1]);
    fail(GONE);
    await turns();
    expect([processing.completed, processing.statuses, tries.length]).toEqual([true, ['1#1 released'], 1]);
    expect(new Holder(processing.queue).attempts).toEqual([[1, 1]]);
  });

  it('is settled if it was being published when `signal` aborted, and succeeds', async () => {
    const controller = new AbortController();
    let arrive = (): void => {};
    const deadLetter = (_: unknown, __: unknown, { signal }: { signal: AbortSignal }) =>
      new Promise<void>((resolve) => {
        arrive = () => (signal.aborted ? undefined : resolve());
      });
    const { processing } = undeliverable(FOR_EVER, deadLetter, { signal: controller.signal });
    processing.publish([1]);
    await turns();
    controller.abort();
    arrive();
    await turns();
    expect([processing.completed, processing.statuses, processing.queue.unfinished]).toEqual([
      true,
      ['1#1 dead-lettered'],
      0,
    ]);
  });

  it('is aborted when the subscriber unsubscribes, and its message is released', async () => {
    const signals: AbortSignal[] = [];
    const deadLetter: DeadLetterFunction = (_, __, { signal }) => {
      signals.push(signal);
      return new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
    };
    const { processing } = undeliverable(FOR_EVER, deadLetter);
    processing.publish([1]);
    await turns();
    processing.subscription.unsubscribe();
    expect([signals.length, signals[0]?.aborted]).toEqual([1, true]);
    expect(processing.statuses).toEqual(['1#1 released']);
    await processing.pass(100_000);
    expect([signals.length, processing.statuses.length, processing.clock.timers]).toEqual([1, 1, 0]);
    expect(new Holder(processing.queue).attempts).toEqual([[1, 1]]);
  });

  it('is ignored when it arrives after the subscriber has unsubscribed', async () => {
    let arrive = (): void => {};
    const deadLetter = () =>
      new Promise<void>((resolve) => {
        arrive = resolve;
      });
    const { processing } = undeliverable(FOR_EVER, deadLetter);
    processing.publish([1]);
    await turns();
    processing.subscription.unsubscribe();
    arrive();
    await turns();
    expect(processing.statuses).toEqual(['1#1 released']);
    expect(new Holder(processing.queue).attempts).toEqual([[1, 1]]);
  });

  it.each(['ack', 'reject', 'nack', 'release'] as const)(
    'is not retried if the message is settled with %s while it waits',
    async (method) => {
      const held: Delivery[] = [];
      const { processing, tries } = undeliverable(FOR_EVER, (delivery) => {
        held.push(delivery as Delivery);
        throw GONE;
      });
      processing.publish([1]);
      await turns();
      await held[0]?.[method]();
      // Requeued messages must not be redelivered.
      processing.queue.clear();
      await processing.pass(10_000);
      expect([tries.length, processing.outcomes.map(({ status }) => status)]).toEqual([1, [held[0]?.settled]]);
      expect([processing.clock.timers, processing.queue.unfinished]).toEqual([0, 0]);
    },
  );

  it('leaves no timer when the subscriber unsubscribes while it waits', async () => {
    const { processing, tries } = undeliverable(FOR_EVER, throws);
    processing.publish([1]);
    await turns();
    expect(processing.clock.timers).toBe(1);
    processing.subscription.unsubscribe();
    expect([processing.clock.timers, processing.statuses]).toEqual([0, ['1#1 released']]);
    await processing.pass(100_000);
    expect(tries.length).toBe(1);
    expect(new Holder(processing.queue).attempts).toEqual([[1, 1]]);
  });

  it.each<[string, 'delay' | 'log' | 'deadLetter']>([
    ['`retry.delay`', 'delay'],
    ['the logger', 'log'],
    ['the function itself', 'deadLetter'],
  ])('is not retried and leaves no timer if `signal` aborts inside %s', async (_, where) => {
    const controller = new AbortController();
    let armed = false;
    const abort = (place: string) => {
      if (armed && place === where) controller.abort();
    };
    const { processing, tries } = undeliverable(
      FOR_EVER,
      () => {
        armed = true;
        abort('deadLetter');
        throw GONE;
      },
      {
        signal: controller.signal,
        retry: {
          count: 0,
          delay: () => {
            abort('delay');
            return 5;
          },
        },
        logger: { ...silentLogger, error: () => abort('log'), warn: () => abort('log') },
      },
    );
    processing.publish([1]);
    await turns();
    expect([processing.statuses, processing.completed]).toEqual([['1#1 released'], true]);
    expect(processing.clock.timers).toBe(0);
    await processing.pass(100_000);
    expect([tries.length, processing.statuses.length]).toEqual([1, 1]);
  });

  it('is not retried if the message has been settled meanwhile', async () => {
    const { processing, tries } = undeliverable(FOR_EVER, (delivery) => {
      void delivery.ack();
      throw GONE;
    });
    processing.publish([1, 2]);
    await processing.pass(100_000);
    expect([tries.length, processing.statuses]).toEqual([1, ['2#1 acked', '1#1 acked'].sort()]);
    expect([processing.clock.timers, processing.queue.unfinished]).toEqual([0, 0]);
  });
});

describe('A full dead letter queue of handle', () => {
  /** Three failing messages, and a dead letter queue with a capacity of 1. */
  function intoFull(overflow: 'wait' | 'error', signal?: AbortSignal) {
    const deadLetters = new MemoryBackend({ capacity: 1, overflow, logger: silentLogger });
    const fail = () => {
      throw new Error('boom');
    };
    const processing = new Processing(fail, { retry: { count: 0, delay: 10 }, deadLetter: deadLetters, signal });
    processing.publish(upTo(3));
    return { processing, deadLetters };
  }

  it('makes dead letters wait and receives all of them in order', async () => {
    const { processing, deadLetters } = intoFull('wait');
    await turns();
    expect([processing.statuses, processing.queue.inFlight, deadLetters.size]).toEqual([['1#1 dead-lettered'], 2, 1]);
    const holder = new Holder(deadLetters);
    await turns();
    expect(holder.numbers).toEqual([1, 2, 3]);
    expect(processing.statuses).toEqual(upTo(3).map((n) => `${n}#1 dead-lettered`));
    expect(processing.queue.unfinished).toBe(0);
  });

  it('that rejects is retried without a loss', async () => {
    const { processing, deadLetters } = intoFull('error');
    await processing.pass();
    expect([processing.statuses, processing.queue.inFlight]).toEqual([['1#1 dead-lettered'], 2]);
    const holder = new Holder(deadLetters);
    await processing.pass(1000);
    expect(holder.numbers).toEqual([1, 2, 3]);
    expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
  });

  it.each(['wait', 'error'] as const)(
    'loses and duplicates nothing when the subscriber unsubscribes (overflow: %p)',
    async (overflow) => {
      const { processing, deadLetters } = intoFull(overflow);
      await turns();
      processing.subscription.unsubscribe();
      expect(processing.statuses).toEqual(['1#1 dead-lettered', '2#1 released', '3#1 released']);
      const holder = new Holder(deadLetters);
      await processing.pass(100_000);
      expect(holder.numbers).toEqual([1]);
      expect(new Holder(processing.queue).attempts).toEqual([
        [2, 1],
        [3, 1],
      ]);
    },
  );

  it('that rejects has its messages released when `signal` aborts', async () => {
    const controller = new AbortController();
    const { processing } = intoFull('error', controller.signal);
    await turns();
    controller.abort();
    await turns();
    expect([processing.completed, processing.statuses.sort()]).toEqual([
      true,
      ['1#1 dead-lettered', '2#1 released', '3#1 released'],
    ]);
    expect(processing.clock.timers).toBe(0);
  });

  it('that is closed keeps the message in its queue', async () => {
    const deadLetter: Pick<QueueBackend, 'publish'> & MemoryBackend = new MemoryBackend({ logger: silentLogger });
    await deadLetter.close();
    const fail = () => {
      throw new Error('boom');
    };
    const processing = new Processing(fail, { retry: { count: 0 }, deadLetter });
    processing.publish([1]);
    await processing.pass(60_000);
    expect([processing.outcomes, processing.queue.inFlight]).toEqual([[], 1]);
    processing.subscription.unsubscribe();
    expect(processing.queue.size).toBe(1);
  });
});

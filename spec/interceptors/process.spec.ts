import { AsyncLocalStorage } from 'node:async_hooks';
import { NEVER, of } from 'rxjs';
import {
  AsyncLoopConsumer,
  type Delivery,
  HandlerTimeoutError,
  handle,
  intercept,
  MemoryBackend,
  type Outcome,
} from 'sluice';
import { numberOf } from '../support/consumers.js';
import { handleOne, process } from '../support/handle-one.js';
import { passLater, passThrough } from '../support/pass-through.js';
import { turns, until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

describe('process of an interceptor', () => {
  it('wraps each run of a handler, the first interceptor outermost', async () => {
    const steps: string[] = [];
    const step = (name: string) =>
      process(async (delivery, run, { group }) => {
        steps.push(`${name} before ${numberOf(delivery.payload)} of ${group}`);
        const { status } = await run();
        steps.push(`${name} after ${status}`);
      });
    const { values } = await handleOne([step('outer'), step('inner')], async () => {
      steps.push('handler');
      return 'value';
    });
    expect(values).toEqual(['value']);
    expect(steps).toEqual([
      'outer before 1 of default',
      'inner before 1 of default',
      'handler',
      'inner after acked',
      'outer after acked',
    ]);
  });

  it('starts the handler before `run` returns, in its asynchronous context', async () => {
    const storage = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const { values } = await handleOne(
      [
        process((_, run) =>
          storage.run('span', () => {
            const outcome = run();
            seen.push('run returned');
            return outcome;
          }),
        ),
      ],
      async () => {
        seen.push(storage.getStore());
        await turns();
        return storage.getStore();
      },
    );
    expect(seen).toEqual(['span', 'run returned']);
    expect(values).toEqual(['span']);
  });

  it.each<[string, () => unknown, unknown[]]>([
    ['a value', () => 1, [1]],
    ['nothing', () => undefined, []],
    ['a promise', async () => 1, [1]],
    ['an Observable', () => of(1, 2), [1, 2]],
    [
      'an async generator',
      async function* () {
        yield 1;
        await turns();
        yield 2;
      },
      [1, 2],
    ],
  ])('gives the outcome of a handler that returns %s', async (_, handler, expected) => {
    for (const interceptors of [[passThrough], [passLater], [passThrough, passLater, passThrough]]) {
      const seen: string[] = [];
      const { values, settled } = await handleOne(
        [process(async (_delivery, run) => seen.push((await run()).status)), ...interceptors],
        handler,
      );
      expect([values, settled, seen]).toEqual([expected, ['acked'], ['acked']]);
    }
  });

  it('gives the outcome with the error and the duration, also without `onOutcome`', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    const seen: Outcome[] = [];
    intercept(
      queue,
      process(async (_, run) => seen.push(await run())),
    )
      .deliveries()
      .pipe(
        handle(() => NEVER, {
          timeout: 50,
          scheduler: clock.scheduler,
          retry: { count: 0 },
          logger: recordingLogger(),
        }),
      )
      .subscribe();
    void queue.publish('key', {});
    await turns();
    clock.advance(50);
    await turns();
    expect(seen).toEqual([
      { status: 'rejected', duration: 50, error: expect.any(HandlerTimeoutError), delivery: expect.anything() },
    ]);
  });

  it('wraps each retry, also in place', async () => {
    const queue = new MemoryBackend();
    const seen: string[] = [];
    const watching = process(async ({ attempt }, run) => {
      const { status } = await run();
      seen.push(`${attempt} ${status}`);
    });
    intercept(queue, watching)
      .deliveries()
      .pipe(
        handle(
          ({ attempt }) => {
            if (attempt < 3) throw new Error('again');
          },
          { orderBy: 'key', retry: { count: 2, delay: 0 }, logger: recordingLogger() },
        ),
      )
      .subscribe();
    await queue.publish('key', {});
    await until(() => seen.length === 3);
    expect(seen).toEqual(['1 retried', '2 retried', '3 acked']);
    expect(queue.unfinished).toBe(0);
  });

  it('wraps the handler of an AsyncLoopConsumer, with the group', async () => {
    const queue = new MemoryBackend({ groups: ['audit'] });
    const groups: string[] = [];
    const consumer = new AsyncLoopConsumer(
      intercept(
        queue,
        process((_, run, { group }) => {
          groups.push(group);
          return run();
        }),
      ),
      { group: 'audit' },
    );
    const run = consumer.run(() => {});
    await queue.publish('key', {});
    await until(() => queue.unfinished === 0);
    await consumer.shutdown();
    await run;
    expect(groups).toEqual(['audit']);
  });

  it('gives `released` when the subscriber leaves while the handler runs', async () => {
    const queue = new MemoryBackend();
    const seen: string[] = [];
    const signals: AbortSignal[] = [];
    const subscription = intercept(
      queue,
      process(async (_, run) => seen.push((await run()).status)),
    )
      .deliveries()
      .pipe(
        handle((_, { signal }) => {
          signals.push(signal);
          return NEVER;
        }),
      )
      .subscribe();
    await queue.publish('key', {});
    subscription.unsubscribe();
    await turns();
    expect(seen).toEqual(['released']);
    expect(signals[0]?.aborted).toBe(true);
  });

  it('may unsubscribe after the handler has ended', async () => {
    const queue = new MemoryBackend();
    const outcomes: Outcome[] = [];
    const subscription = intercept(
      queue,
      process((_, run) => {
        const outcome = run();
        subscription.unsubscribe();
        return outcome;
      }),
    )
      .deliveries()
      .pipe(handle(() => {}, { onOutcome: (outcome) => outcomes.push(outcome) }))
      .subscribe();
    await queue.publish('key', {});
    expect(outcomes).toMatchObject([{ status: 'acked' }]);
    expect(queue.unfinished).toBe(0);
  });

  it('does not start a handler, or an inner interceptor, whose attempt is over', async () => {
    const queue = new MemoryBackend();
    const inner = jest.fn();
    let start = (): Promise<Outcome> => Promise.reject(new Error('not called'));
    const subscription = intercept(
      queue,
      process((_, run) => {
        start = run;
        return new Promise(() => {});
      }),
      process(inner),
    )
      .deliveries()
      .pipe(
        handle(() => {
          throw new Error('unexpected');
        }),
      )
      .subscribe();
    await queue.publish('key', {});
    subscription.unsubscribe();
    expect((await start()).status).toBe('released');
    expect(inner).not.toHaveBeenCalled();
    expect(queue.size).toBe(1);
  });
});

describe('An interceptor that waits before `run`', () => {
  async function waiting() {
    const queue = new MemoryBackend({ logger: silentLogger });
    const handler = jest.fn();
    const statuses: string[] = [];
    const stop = new AbortController();
    const completed = jest.fn();
    let deliveries: Delivery[] = [];
    let goOn = (): void => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    intercept(
      queue,
      process(async (delivery, run) => {
        deliveries = [...deliveries, delivery];
        await gate;
        statuses.push((await run()).status);
      }),
    )
      .deliveries({ prefetch: 1 })
      .pipe(handle(handler, { signal: stop.signal, logger: silentLogger }))
      .subscribe({ complete: completed });
    await queue.publish('key', {});
    return { queue, handler, statuses, stop, completed, goOn, delivery: deliveries[0] as Delivery };
  }

  it('starts no handler after the consumer has stopped', async () => {
    const { queue, handler, statuses, stop, completed, goOn } = await waiting();
    stop.abort();
    expect(completed).not.toHaveBeenCalled();
    goOn();
    await turns();
    expect(handler).not.toHaveBeenCalled();
    expect(statuses).toEqual(['released']);
    expect(completed).toHaveBeenCalledTimes(1);
    expect(await queue.peek()).toMatchObject([{ attempt: 1 }]);
  });

  it('starts no handler for a message that the queue has taken back, but for its redelivery', async () => {
    const { queue, handler, statuses, goOn, delivery } = await waiting();
    await delivery.release();
    goOn();
    await until(() => queue.unfinished === 0);
    await turns();
    expect([handler.mock.calls.length, statuses]).toEqual([1, ['released', 'acked']]);
  });
});

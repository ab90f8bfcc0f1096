import { AsyncLocalStorage } from 'node:async_hooks';
import { lastValueFrom, NEVER, of, toArray } from 'rxjs';
import {
  AsyncLoopConsumer,
  type Delivery,
  type HandleOptions,
  HandlerTimeoutError,
  handle,
  intercept,
  MemoryBackend,
  type Outcome,
  type QueueInterceptor,
} from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { numberOf } from '../support/consumers.js';
import { passLater, passThrough } from '../support/pass-through.js';
import { turns, until } from '../support/promises.js';
import { type RecordingLogger, recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

type ProcessMethod = NonNullable<QueueInterceptor['process']>;

const process = (method: ProcessMethod): QueueInterceptor => ({ process: method });

interface Result {
  readonly values: unknown[];
  readonly outcomes: Outcome[];
  readonly settled: string[];
  readonly logger: RecordingLogger;
}

/** Handles one message of a fake to its end. */
async function handleOne(
  interceptors: readonly QueueInterceptor[],
  handler: (delivery: Delivery, context: { signal: AbortSignal }) => unknown,
  options?: HandleOptions,
): Promise<Result> {
  const fake = fakeBackend([['key', { n: 1 }]]);
  const logger = recordingLogger();
  const outcomes: Outcome[] = [];
  const values = await lastValueFrom(
    intercept(fake, ...interceptors)
      .deliveries()
      .pipe(
        handle(handler, { retry: { count: 0 }, onOutcome: (outcome) => outcomes.push(outcome), logger, ...options }),
        toArray(),
      ),
  );
  await turns();
  return { values, outcomes, settled: fake.settlements.map(({ how }) => how), logger };
}

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

describe('A process that fails', () => {
  const error = new Error('broken');

  it.each<[string, ProcessMethod]>([
    [
      'throws',
      () => {
        throw error;
      },
    ],
    [
      'rejects',
      async () => {
        throw error;
      },
    ],
    [
      'rejects later',
      async () => {
        await turns();
        throw error;
      },
    ],
  ])('fails the attempt without its handler if it %s before `run`', async (_, method) => {
    const handler = jest.fn();
    const { outcomes, settled } = await handleOne([passThrough, process(method)], handler);
    expect(handler).not.toHaveBeenCalled();
    expect(settled).toEqual(['rejected']);
    expect(outcomes).toMatchObject([{ status: 'rejected', error }]);
  });

  it.each<[string, ProcessMethod]>([
    [
      'throws',
      (_, run) => {
        void run();
        throw error;
      },
    ],
    [
      'rejects',
      async (_, run) => {
        void run();
        await Promise.resolve();
        throw error;
      },
    ],
  ])('fails the attempt if it %s while the handler runs', async (_, method) => {
    const handler = jest.fn(async () => {
      await turns();
      return 'value';
    });
    const { values, outcomes, logger } = await handleOne([process(method), passThrough], handler);
    expect(handler).toHaveBeenCalledTimes(1);
    expect(values).toEqual([]);
    expect(outcomes).toMatchObject([{ status: 'rejected', error }]);
    expect(logger.errors).toHaveLength(1);
  });

  it('fails the attempt of a synchronous handler, too, if it throws', async () => {
    const { values, outcomes } = await handleOne(
      [
        process((_, run) => {
          void run();
          throw error;
        }),
      ],
      () => 'value',
    );
    expect([values, outcomes]).toMatchObject([[], [{ status: 'rejected', error }]]);
  });

  it('keeps the error of the handler', async () => {
    const own = new Error('own');
    const { outcomes } = await handleOne(
      [
        process((_, run) => {
          void run();
          throw error;
        }),
      ],
      () => {
        throw own;
      },
    );
    expect(outcomes).toMatchObject([{ error: own }]);
  });

  it('is logged if it fails after the outcome', async () => {
    const failing = process(async (_, run) => {
      await run();
      throw error;
    });
    const { outcomes, logger } = await handleOne([failing], async () => {});
    expect(outcomes).toMatchObject([{ status: 'acked' }]);
    expect(logger.errors).toEqual([
      expect.stringMatching(
        /^`process` of an interceptor failed: delivery fake-1 .*Error: broken; the outcome is acked$/,
      ),
    ]);
  });

  it('is not logged again if it throws the error of the outcome', async () => {
    const rethrowing = process(async (_, run) => {
      const outcome = await run();
      throw outcome.error;
    });
    const { logger } = await handleOne([rethrowing, rethrowing], async () => Promise.reject(error));
    expect(logger.errors).toEqual([expect.stringMatching(/^A message is given up/)]);
  });

  it('fails the attempt if it neither calls `run` nor settles the delivery', async () => {
    const handler = jest.fn();
    for (const method of [async () => {}, () => undefined as never]) {
      const { outcomes } = await handleOne([process(method)], handler);
      expect(outcomes).toMatchObject([
        { error: { message: '`process` of an interceptor neither called `run` nor settled the delivery' } },
      ]);
    }
    expect(handler).not.toHaveBeenCalled();
  });

  it('may settle the delivery instead of running the handler', async () => {
    const { outcomes, settled, logger } = await handleOne([process((delivery) => delivery.ack())], () => {
      throw new Error('unexpected');
    });
    expect([settled, outcomes.map(({ status }) => status), logger.warnings]).toEqual([['acked'], ['acked'], []]);
  });

  it('fails the attempt if it calls `run` twice, and the handler runs once', async () => {
    const handler = jest.fn(async () => turns());
    const { outcomes } = await handleOne(
      [
        process(async (_, run) => {
          void run();
          return run();
        }),
      ],
      handler,
    );
    expect(handler).toHaveBeenCalledTimes(1);
    expect(outcomes).toMatchObject([{ error: { message: expect.stringContaining('called `run` twice') } }]);
  });

  it('is ended by the timeout of the handler, if it never calls `run`', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler });
    const outcomes: Outcome[] = [];
    intercept(
      queue,
      process(() => new Promise(() => {})),
    )
      .deliveries()
      .pipe(
        handle(() => {}, {
          timeout: 100,
          retry: { count: 0 },
          scheduler: clock.scheduler,
          onOutcome: (outcome) => outcomes.push(outcome),
          logger: recordingLogger(),
        }),
      )
      .subscribe();
    void queue.publish('key', {});
    await turns();
    clock.advance(99);
    await turns();
    expect(outcomes).toEqual([]);
    await turns();
    clock.advance(1);
    await turns();
    expect(outcomes).toMatchObject([{ status: 'rejected', error: { name: 'HandlerTimeoutError' } }]);
    expect(clock.timers).toBe(0);
  });
});

import { handle, intercept, MemoryBackend, type Outcome } from 'sluice';
import { handleOne, type ProcessMethod, process } from '../support/handle-one.js';
import { passThrough } from '../support/pass-through.js';
import { turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

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

import { lastValueFrom, toArray } from 'rxjs';
import { filterDeliveries, handle, intercept, MemoryBackend, type QueueInterceptor, UnrecoverableError } from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

describe('A failing deliver', () => {
  const error = new Error('broken');
  const breaks: QueueInterceptor = {
    deliver(delivery) {
      if (numberOf(delivery.payload) === 2) throw error;
      return delivery;
    },
  };
  const breaksLater: QueueInterceptor = {
    async deliver(delivery) {
      return breaks.deliver?.(delivery, { group: 'default' });
    },
  };

  describe.each([
    ['synchronously', breaks],
    ['later', breaksLater],
  ])('%s', (_, interceptor) => {
    it('fails the attempt of a handler, which does not run', async () => {
      const logger = recordingLogger();
      const queue = new MemoryBackend({ logger: silentLogger });
      const dead = new MemoryBackend();
      const seen: number[] = [];
      const outcomes: unknown[] = [];
      void publishAll(queue, upTo(3));
      intercept(queue, interceptor)
        .deliveries()
        .pipe(
          handle(({ payload }) => void seen.push(numberOf(payload)), {
            retry: { count: 1, delay: 0 },
            deadLetter: dead,
            logger,
            onOutcome: ({ status, error, delivery }) => void outcomes.push([numberOf(delivery.payload), status, error]),
          }),
        )
        .subscribe();
      await until(() => dead.size === 1);
      expect(seen).toEqual([1, 3]);
      expect(outcomes).toContainEqual([2, 'retried', error]);
      expect(outcomes).toContainEqual([2, 'dead-lettered', error]);
      expect(logger.warnings[0]).toMatch(/^An interceptor failed: delivery .*: Error: broken; next try in 0 ms$/);
      expect((await dead.peek())[0]).toMatchObject({ payload: { n: 2 }, headers: { 'sluice-error': 'Error: broken' } });
    });

    it('keeps the message from the functions of `handle` and of filterDeliveries', async () => {
      const queue = new MemoryBackend({ logger: silentLogger });
      const seen: number[] = [];
      const note = (delivery: { payload: object }) => {
        seen.push(numberOf(delivery.payload));
        return true;
      };
      void publishAll(queue, upTo(3));
      intercept(queue, interceptor)
        .deliveries()
        .pipe(filterDeliveries(note), handle(note, { orderBy: note, retry: { count: 0 }, logger: silentLogger }))
        .subscribe();
      await until(() => queue.unfinished === 0);
      expect(new Set(seen)).toEqual(new Set([1, 3]));
    });

    it('fails the attempt of a handler on a third-party backend', async () => {
      const fake = fakeBackend([1, 2, 3].map((n) => ['key', { n }] as const));
      const values = await lastValueFrom(
        intercept(fake, interceptor)
          .deliveries()
          .pipe(
            handle(({ payload }) => numberOf(payload), { retry: { count: 0 }, logger: silentLogger }),
            toArray(),
          ),
      );
      expect(values).toEqual([1, 3]);
      expect(fake.settlements.find(({ how }) => how === 'rejected')).toMatchObject({
        payload: { n: 2 },
        reason: error,
      });
    });

    it('requeues the message of another consumer after a delay, and logs the error', async () => {
      const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
      const fake = fakeBackend([1, 2, 3].map((n) => ['key', { n }] as const));
      const numbers: number[] = [];
      for await (const { payload } of intercept(fake, interceptor).deliveries()) numbers.push(numberOf(payload));
      expect(numbers).toEqual([1, 3]);
      const failed = fake.settlements.find(({ payload }) => numberOf(payload) === 2);
      expect(failed).toMatchObject({ how: 'retried' });
      expect(failed?.delay).toBeGreaterThanOrEqual(800);
      expect(logged.mock.calls[0]?.[0]).toMatch(
        /^An interceptor failed: delivery fake-2 .*Error: broken; next try in \d+ ms/,
      );
      logged.mockRestore();
    });
  });

  it('rejects the message of another consumer with an UnrecoverableError', async () => {
    const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
    const fake = fakeBackend([['key', { n: 1 }]]);
    const reason = new UnrecoverableError('invalid');
    const failing: QueueInterceptor = {
      deliver() {
        throw reason;
      },
    };
    for await (const _ of intercept(fake, failing).consume()) throw new Error('unexpected');
    expect(fake.settlements).toMatchObject([{ how: 'rejected', reason }]);
    expect(logged.mock.calls[0]?.[0]).toContain('its message is rejected');
    logged.mockRestore();
  });

  it('is given up at once by a handler with an UnrecoverableError', async () => {
    const fake = fakeBackend([['key', { n: 1 }]]);
    const handler = jest.fn();
    const failing: QueueInterceptor = {
      deliver() {
        throw new UnrecoverableError('invalid');
      },
    };
    await lastValueFrom(
      intercept(intercept(fake, failing), { deliver: handler })
        .deliveries()
        .pipe(handle(handler, { logger: silentLogger })),
      { defaultValue: undefined },
    );
    expect(handler).not.toHaveBeenCalled();
    expect(fake.settlements).toMatchObject([{ how: 'rejected', attempt: 1 }]);
  });

  it('only logs its error if it has settled the delivery', async () => {
    const logged = jest.spyOn(console, 'error').mockImplementation(() => {});
    const fake = fakeBackend([['key', { n: 1 }]]);
    const failing: QueueInterceptor = {
      deliver(delivery) {
        void delivery.ack();
        throw error;
      },
    };
    const handler = jest.fn();
    await lastValueFrom(intercept(fake, failing).deliveries().pipe(handle(handler)), { defaultValue: undefined });
    expect(handler).not.toHaveBeenCalled();
    expect(fake.settlements).toMatchObject([{ how: 'acked' }]);
    expect(logged.mock.calls[0]?.[0]).toContain('its delivery was already acked');
    logged.mockRestore();
  });
});

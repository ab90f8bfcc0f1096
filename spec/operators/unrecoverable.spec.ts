import { concat, of, throwError, timer } from 'rxjs';
import {
  AsyncLoopConsumer,
  type HandleOptions,
  HandlerTimeoutError,
  MemoryBackend,
  SluiceError,
  UnrecoverableError,
} from 'sluice';
import { Holder } from '../support/consumers.js';
import { Processing, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const RETRY = { count: 3, delay: 10 };
const CAUSE = new RangeError('negative');
const INVALID = new UnrecoverableError('The order is invalid', { cause: CAUSE });

const fail: TestHandler = () => {
  throw INVALID;
};

const WAYS: [string, TestHandler][] = [
  ['throws it', fail],
  ['rejects with it', async () => Promise.reject(INVALID)],
  ['returns an Observable that errors with it', () => throwError(() => INVALID)],
  [
    'returns an Observable that emits, then errors with it',
    () =>
      concat(
        of(1),
        throwError(() => INVALID),
      ),
  ],
  [
    'returns an async generator that throws it',
    // biome-ignore lint/correctness/useYield: it fails before it comes to that.
    async function* () {
      throw INVALID;
    },
  ],
];

// With virtual time, a published message arrives synchronously.
function deadLetterQueue(): MemoryBackend {
  return new MemoryBackend({ name: 'dead', scheduler: new VirtualClock().scheduler, logger: silentLogger });
}

describe('UnrecoverableError', () => {
  it('is a SluiceError with a cause and a code', () => {
    expect(INVALID).toMatchObject({
      name: 'UnrecoverableError',
      code: 'SLUICE_UNRECOVERABLE',
      message: 'The order is invalid',
      cause: CAUSE,
    });
    expect([
      SluiceError.is(INVALID),
      UnrecoverableError.is(INVALID),
      UnrecoverableError.is(new HandlerTimeoutError('')),
    ]).toEqual([true, true, false]);
  });

  it.each(WAYS)('is not retried if a handler %s', async (_, handler) => {
    const deadLetter = deadLetterQueue();
    const processing = new Processing(handler, { retry: RETRY, deadLetter });
    processing.publish([1]);
    await processing.pass(1000);
    expect(processing.statuses).toEqual(['1#1 dead-lettered']);
    expect(processing.outcomes[0]?.error).toBe(INVALID);
    expect(new Holder(deadLetter).deliveries.map(({ headers }) => headers)).toEqual([
      expect.objectContaining({
        'sluice-error': 'UnrecoverableError: The order is invalid',
        'sluice-attempts': '1',
        'sluice-queue': 'work',
      }),
    ]);
    expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
  });

  it('is rejected and logged as an error without a deadLetter', () => {
    const processing = new Processing(fail, { retry: RETRY });
    processing.publish([1]);
    expect(processing.statuses).toEqual(['1#1 rejected']);
    expect(processing.outcomes[0]?.error).toBe(INVALID);
    expect(processing.logger.errors).toEqual([expect.stringContaining('The order is invalid')]);
    expect(processing.logger.warnings).toEqual([]);
    expect(processing.queue.unfinished).toBe(0);
  });

  it.each<[string, HandleOptions]>([
    ['with orderBy', { orderBy: 'key', retry: RETRY }],
    ['with a retry.count of Infinity', { retry: { count: Number.POSITIVE_INFINITY, delay: 10 } }],
    ['with a retry.count of 0', { retry: { count: 0 } }],
    ['with a deliveryLimit', { retry: RETRY, deliveryLimit: 10 }],
  ])('gives up only its own message, %s', async (_, options) => {
    const processing = new Processing(
      (delivery, context) => (delivery.key === 'bad' ? fail(delivery, context) : undefined),
      options,
    );
    processing.publish([1, 2, 3], (n) => (n === 2 ? 'bad' : 'good'));
    await processing.pass(1000);
    expect(processing.statuses).toEqual(['1#1 acked', '2#1 rejected', '3#1 acked']);
  });

  it.each([undefined, 'key' as const])('ends the retries on a later attempt (orderBy: %p)', async (orderBy) => {
    const processing = new Processing(
      ({ attempt }) => {
        throw attempt === 2 ? INVALID : new Error('503');
      },
      { retry: RETRY, orderBy, deadLetter: deadLetterQueue() },
    );
    processing.publish([1]);
    await processing.pass(1000);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 dead-lettered']);
  });

  it('lets the next message of its key continue with orderBy', async () => {
    const processing = new Processing(
      ({ payload }) => ((payload as { n: number }).n === 1 ? Promise.reject(INVALID) : undefined),
      {
        orderBy: 'key',
        retry: RETRY,
      },
    );
    processing.publish([1, 2]);
    await turns();
    expect(processing.statuses).toEqual(['1#1 rejected', '2#1 acked']);
  });

  it('has no effect as the cause of another error', async () => {
    const processing = new Processing(
      () => {
        throw new Error('wrapped', { cause: INVALID });
      },
      { retry: { count: 1, delay: 1 } },
    );
    processing.publish([1]);
    await processing.pass(10);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 rejected']);
  });

  it('has no effect after a timeout', async () => {
    const processing: Processing = new Processing(
      () =>
        new Promise((_, reject) => {
          timer(20, processing.clock.scheduler).subscribe(() => reject(INVALID));
        }),
      { retry: RETRY, timeout: 10 },
    );
    processing.publish([1]);
    await processing.pass(20);
    processing.subscription.unsubscribe();
    expect(processing.statuses[0]).toBe('1#1 retried');
    expect(HandlerTimeoutError.is(processing.outcomes[0]?.error)).toBe(true);
  });

  it('has no effect in a deadLetter function, which is retried', async () => {
    let calls = 0;
    const deadLetter = () => {
      if (++calls === 1) throw INVALID;
    };
    const processing = new Processing(() => Promise.reject(new Error('boom')), {
      retry: { count: 0, delay: 1000 },
      deadLetter,
    });
    processing.publish([1]);
    await processing.pass(1000);
    expect([calls, processing.statuses]).toEqual([2, ['1#1 dead-lettered']]);
  });

  it('is recognized from another copy of the library and from a subclass', async () => {
    let other!: typeof UnrecoverableError;
    jest.isolateModules(() => {
      other = (jest.requireActual('../../src/errors.js') as { UnrecoverableError: typeof UnrecoverableError })
        .UnrecoverableError;
    });
    expect(other).not.toBe(UnrecoverableError);
    class InvalidOrder extends UnrecoverableError {}
    for (const Thrown of [other, InvalidOrder]) {
      const processing = new Processing(() => Promise.reject(new Thrown('The order is invalid')), { retry: RETRY });
      processing.publish([1]);
      await turns();
      expect(processing.statuses).toEqual(['1#1 rejected']);
    }
  });

  it('ends the retries of an AsyncLoopConsumer', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const failed = deadLetterQueue();
    const logger = recordingLogger();
    const consumer = new AsyncLoopConsumer(queue, { retry: { count: 3, delay: 60_000 }, deadLetter: failed, logger });
    await queue.publish('number', { n: 1 });
    await queue.close();
    await consumer.run(async () => Promise.reject(INVALID));
    expect([failed.size, queue.unfinished]).toEqual([1, 0]);
  });
});

describe('A handler that throws an unreadable value', () => {
  it('fails like with any other error', async () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    const processing = new Processing(
      () => {
        throw proxy;
      },
      { retry: { count: 1, delay: 1 } },
    );
    processing.publish([1]);
    await processing.pass(10);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 rejected']);
  });
});

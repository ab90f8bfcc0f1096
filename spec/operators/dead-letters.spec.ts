import { filter, type Observable, of, tap } from 'rxjs';
import {
  type Delivery,
  type HandleOptions,
  MemoryBackend,
  type MemoryBackendOptions,
  type PublishArguments,
} from 'sluice';
import { type DeliveryOwner, DriverDelivery } from '../../src/core/delivery.js';
import { messageOf } from '../core/fakes.js';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { FakeDelivery, Handled, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const NO_RETRY = { count: 0 };

/** A queue whose handler fails for every message, and its dead letter queue. */
function failing(thrown: unknown, options: HandleOptions = {}) {
  // With virtual time, a published message arrives synchronously.
  const deadLetters = new MemoryBackend({
    name: 'dead',
    scheduler: new VirtualClock().scheduler,
    logger: silentLogger,
  });
  const processing = new Processing(
    () => {
      throw thrown;
    },
    { retry: NO_RETRY, deadLetter: deadLetters, ...options },
  );
  return { deadLetters, processing };
}

/** The only message of a queue. */
function only(queue: MemoryBackend): Delivery {
  const { deliveries } = new Holder(queue);
  expect(deliveries.length).toBe(1);
  return deliveries[0] as Delivery;
}

describe('A dead letter queue of handle', () => {
  it('receives the key, the payload and headers about the failure', () => {
    const { deadLetters, processing } = failing(new RangeError('out of range'));
    void processing.queue.publish('orders.created', { n: 1 });
    const letter = only(deadLetters);
    expect([letter.key, letter.payload, letter.attempt]).toEqual(['orders.created', { n: 1 }, 1]);
    expect(letter.headers).toEqual({
      'sluice-error': 'RangeError: out of range',
      'sluice-attempts': '1',
      'sluice-queue': 'work',
      'sluice-group': 'default',
    });
    expect(processing.statuses).toEqual(['1#1 dead-lettered']);
    expect(processing.queue.unfinished).toBe(0);
  });

  it('receives the headers of the message, too', () => {
    const { deadLetters, processing } = failing(new Error('boom'));
    void processing.queue.publish(
      'number',
      { n: 1 },
      { headers: { trace: 'abc', 'sluice-error': 'old', 'sluice-queue': 'older', 'sluice-group': 'another' } },
    );
    expect(only(deadLetters).headers).toEqual({
      trace: 'abc',
      'sluice-error': 'Error: boom',
      'sluice-attempts': '1',
      'sluice-queue': 'work',
      'sluice-group': 'default',
    });
  });

  it.each([undefined, 'key' as const])(
    'receives the message after the last retry with the number of attempts (orderBy: %p)',
    async (orderBy) => {
      const { deadLetters, processing } = failing(new Error('boom'), { retry: { count: 2, delay: 5 }, orderBy });
      processing.publish([1]);
      processing.clock.advance(9);
      expect([deadLetters.size, processing.statuses]).toEqual([0, ['1#1 retried', '1#2 retried']]);
      processing.clock.advance(1);
      expect(processing.statuses).toEqual(['1#1 retried', '1#2 retried', '1#3 dead-lettered']);
      expect(only(deadLetters).headers['sluice-attempts']).toBe('3');
      expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
    },
  );

  it('appears in the outcome with the error of the handler', () => {
    const boom = new Error('boom');
    const { processing } = failing(boom);
    processing.publish([1]);
    expect(processing.outcomes[0]).toMatchObject({ status: 'dead-lettered', error: boom });
    expect(processing.outcomes[0]?.delivery.settled).toBe('acked');
  });

  it.each<[string, unknown, string]>([
    ['a string', 'broken', 'broken'],
    ['undefined', undefined, 'undefined'],
    ['null', null, 'null'],
    ['a number', 7, '7'],
    ['an object', { secret: 'hush' }, 'object'],
    ['an error without a message', new Error(''), 'Error'],
    ['a text with half a character', new Error('a\ud800b\udc00c'), 'a\ufffdb\ufffdc'],
    ['a text with line breaks', new Error('a\r\nb'), 'a'],
    ['a text with whole characters beyond 16 bits', new Error('a😀b'), 'a😀b'],
  ])('receives the error as a header if it is %s', (_, thrown, text) => {
    const { deadLetters, processing } = failing(thrown);
    processing.publish([1]);
    const header = only(deadLetters).headers['sluice-error'] ?? '';
    expect(header).toContain(text);
    expect(header).not.toContain('hush');
    expect(processing.queue.unfinished).toBe(0);
  });

  it.each<[string, string]>([
    ['letters', 'x'.repeat(1_000_000)],
    ['pairs of surrogates', '😀'.repeat(500_000)],
    ['pairs of surrogates after a letter', `x${'😀'.repeat(500_000)}`],
    ['halves of characters', '\ud800'.repeat(1_000_000)],
  ])('receives the beginning of a very long error of %s', (_, text) => {
    const { deadLetters, processing } = failing(new Error(text));
    processing.publish([1]);
    const header = only(deadLetters).headers['sluice-error'] ?? '';
    expect(header.length).toBeGreaterThan(100);
    expect(header.length).toBeLessThan(5000);
    expect(/\p{Surrogate}/u.test(header)).toBe(false);
  });

  it('may be the queue itself', () => {
    const runs: number[] = [];
    const processing: Processing = new Processing(
      ({ headers, payload }) => {
        runs.push(numberOf(payload));
        if (headers['sluice-error'] === undefined) throw new Error('boom');
      },
      { retry: NO_RETRY, deadLetter: { publish: (...message) => processing.queue.publish(...message) } },
    );
    processing.publish([1]);
    expect(runs).toEqual([1, 1]);
    expect(processing.statuses).toEqual(['1#1 dead-lettered', '1#1 acked']);
  });
});

/** The headers of all dead letters of a run in which every handler fails. */
async function lettersOf(source: Observable<Delivery>, options: HandleOptions = {}): Promise<Delivery['headers'][]> {
  const letters: Delivery['headers'][] = [];
  const deadLetter = {
    publish: async (...[, , options]: PublishArguments) => void letters.push(options?.headers ?? {}),
  };
  const handled = new Handled(source, () => Promise.reject(new Error('boom')), {
    retry: NO_RETRY,
    deadLetter,
    ...options,
  });
  while (!handled.completed) await turns();
  return letters;
}

describe('Group of a dead letter', () => {
  /** A closed queue with one message. */
  function queueOf(options: MemoryBackendOptions = {}): MemoryBackend {
    const queue = new MemoryBackend({ logger: silentLogger, ...options });
    void queue.publish('number', { n: 1 });
    void queue.close();
    return queue;
  }

  it.each<MemoryBackendOptions>([{ groups: ['audit', 'billing'] }, {}])(
    'is the group of the consumer, in memory with %p',
    async (options) => {
      const deliveries = queueOf(options).deliveries({ group: 'billing' });
      expect(await lettersOf(deliveries)).toEqual([expect.objectContaining({ 'sluice-group': 'billing' })]);
    },
  );

  it('is known behind other operators and after a retry in place', async () => {
    const deliveries = queueOf()
      .deliveries({ group: 'billing' })
      .pipe(
        filter(() => true),
        tap(),
      );
    const headers = await lettersOf(deliveries, { orderBy: 'key', retry: { count: 2, delay: 0 } });
    expect(headers).toEqual([expect.objectContaining({ 'sluice-group': 'billing', 'sluice-attempts': '3' })]);
  });

  it('is known for a delivery of a broker', async () => {
    const owner = { groupName: 'billing', settle: async () => true } as Partial<DeliveryOwner> as DeliveryOwner;
    const delivery = new DriverDelivery(owner, 'orders', messageOf('1-0')) as Delivery;
    expect(await lettersOf(of(delivery))).toEqual([
      expect.objectContaining({ 'sluice-group': 'billing', 'sluice-queue': 'orders' }),
    ]);
  });

  it('is omitted if the backend does not provide it, and an old value is removed', async () => {
    const delivery = new FakeDelivery(1) as Delivery;
    const headers = { trace: 'abc', 'sluice-group': 'another' };
    const [letter] = await lettersOf(of(Object.assign(delivery, { headers })));
    expect(letter).toEqual({
      trace: 'abc',
      'sluice-error': 'Error: boom',
      'sluice-attempts': '1',
      'sluice-queue': 'fake',
    });
  });
});

describe('A dead letter function of handle', () => {
  it('receives the delivery, the error and a context', async () => {
    const boom = new Error('boom');
    const calls: unknown[][] = [];
    const { processing } = failing(boom, {
      deadLetter: async (delivery, error, { signal }) => {
        calls.push([
          numberOf(delivery.payload),
          delivery.attempt,
          delivery.settled,
          error,
          signal instanceof AbortSignal && signal.aborted,
        ]);
      },
    });
    processing.publish([1]);
    await turns();
    expect(calls).toEqual([[1, 1, false, boom, false]]);
    expect(processing.statuses).toEqual(['1#1 dead-lettered']);
    expect(processing.queue.unfinished).toBe(0);
  });

  it('may return undefined', async () => {
    const { processing } = failing('bad', { deadLetter: () => {} });
    processing.publish([1]);
    await turns();
    expect(processing.statuses).toEqual(['1#1 dead-lettered']);
  });

  it('is awaited: the message stays unfinished, its slot is freed and its credit kept', async () => {
    let arrived = (): void => {};
    const deadLetter = () =>
      new Promise<void>((resolve) => {
        arrived = resolve;
      });
    const processing = new Processing(
      ({ payload }) => {
        if (numberOf(payload) === 1) throw new Error('boom');
      },
      { retry: NO_RETRY, deadLetter },
      { prefetch: 2 },
    );
    processing.publish(upTo(4));
    await turns();
    expect(processing.statuses).toEqual(['2#1 acked', '3#1 acked', '4#1 acked']);
    expect([processing.queue.inFlight, processing.queue.unfinished]).toEqual([1, 1]);
    arrived();
    await turns();
    expect(processing.statuses.at(-1)).toBe('1#1 dead-lettered');
    expect(processing.queue.unfinished).toBe(0);
  });

  it('is not limited by the concurrency', async () => {
    let under = 0;
    const deadLetter = () => {
      under++;
      return new Promise<void>(() => {});
    };
    const { processing } = failing('bad', { deadLetter });
    processing.publish(upTo(5));
    await turns();
    expect([under, processing.queue.inFlight]).toEqual([5, 5]);
  });

  it('may settle the delivery itself', async () => {
    const { processing } = failing('bad', { deadLetter: (delivery) => void delivery.reject('by hand') });
    processing.publish([1]);
    await turns();
    expect(processing.statuses).toEqual(['1#1 rejected']);
    expect(processing.queue.unfinished).toBe(0);
  });
});

describe('handle without a deadLetter', () => {
  it('rejects failed messages and logs an error', () => {
    const boom = new Error('boom');
    const { processing } = failing(boom, { deadLetter: undefined });
    processing.publish([1]);
    expect(processing.statuses).toEqual(['1#1 rejected']);
    expect(processing.outcomes[0]?.delivery.settled).toBe('rejected');
    expect(processing.logger.errors.length).toBe(1);
    expect(processing.logger.warnings).toEqual([]);
    expect(processing.queue.unfinished).toBe(0);
  });
});

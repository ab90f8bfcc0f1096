import { of } from 'rxjs';
import {
  type Delivery,
  InvalidMessageError,
  MemoryBackend,
  type PublishOptions,
  type QueueKey,
  type QueuePayload,
} from 'sluice';
import { QUARANTINE } from '../../src/internal/delivery-symbols.js';
import { FakeDelivery, Handled, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const INVALID = new InvalidMessageError('payload.n', 'a finite number', 'Infinity');

const boom = () => {
  throw new Error(`boom ${'x'.repeat(2000)}`);
};

/**
 * A dead letter queue that rejects the first `times` messages as invalid, and the headers that it
 * received.
 */
function refusing(times: number) {
  const letters: PublishOptions['headers'][] = [];
  const publish = async (_key: QueueKey, _payload: QueuePayload, { headers }: PublishOptions = {}) => {
    if (letters.push(headers) <= times) throw INVALID;
  };
  return { letters, deadLetter: { publish } };
}

/** A delivery whose engine has a quarantine. */
class Quarantined extends FakeDelivery {
  readonly reasons: string[] = [];

  async [QUARANTINE](reason: string): Promise<boolean> {
    this.reasons.push(reason);
    this.settled = 'rejected';
    return true;
  }
}

describe('A dead letter of handle that is rejected as invalid', () => {
  it("is retried immediately with a shorter error, then without Sluice's headers", async () => {
    const { letters, deadLetter } = refusing(2);
    const processing = new Processing(boom, { retry: { count: 0 }, deadLetter });
    void processing.queue.publish(
      'number',
      { n: 1 },
      { headers: { trace: 'abc', 'sluice-error': 'old', 'sluice-group': 'old' } },
    );
    await turns();
    const lengths = letters.map((headers) => headers?.['sluice-error']?.length);
    expect([letters.length, lengths]).toEqual([3, [1000, 100, undefined]]);
    expect(letters[1]).toMatchObject({
      trace: 'abc',
      'sluice-attempts': '1',
      'sluice-queue': 'work',
      'sluice-group': 'default',
    });
    expect(letters[2]).toEqual({ trace: 'abc' });
    expect([processing.statuses, processing.queue.unfinished, processing.clock.timers]).toEqual([
      ['1#1 dead-lettered'],
      0,
      0,
    ]);
    expect(processing.logger.errors).toEqual([]);
  });

  it('is rejected in memory with one error that names its key and id, and never retried', async () => {
    const deadLetter = new MemoryBackend({ validate: 'json', logger: silentLogger });
    const processing = new Processing(boom, { retry: { count: 0 }, deadLetter }, { prefetch: 2 });
    for (const n of [Number.POSITIVE_INFINITY, Number.NaN, 3]) void processing.queue.publish('number', { n });
    await processing.pass(100_000);
    expect(processing.statuses.toSorted()).toEqual(['3#1 dead-lettered', 'Infinity#1 rejected', 'NaN#1 rejected']);
    expect([processing.queue.unfinished, deadLetter.size, processing.clock.timers]).toEqual([0, 1, 0]);
    expect(processing.logger.errors).toHaveLength(2);
    const { delivery } = processing.outcomes.find(({ status }) => status === 'rejected') ?? {};
    expect(processing.logger.errors[0]).toMatch(
      `A message cannot be dead-lettered: delivery ${delivery?.id} ("number") from queue "work", attempt 1: InvalidMessageError: Expected \`payload.n\``,
    );
    expect(processing.logger.errors[0]).toMatch(/; it is rejected$/);
  });

  it.each([undefined, 'key' as const])(
    'is quarantined by its engine with the reason (orderBy: %p)',
    async (orderBy) => {
      const { letters, deadLetter } = refusing(Number.POSITIVE_INFINITY);
      const delivery = new Quarantined(1);
      const count = orderBy === undefined ? 0 : 1;
      const handled = new Handled(of(delivery as Delivery), boom, { retry: { count, delay: 0 }, deadLetter, orderBy });
      while (!handled.completed) await turns();
      expect(handled.outcomes.at(-1)).toMatchObject({
        status: 'rejected',
        error: { message: expect.stringContaining('boom') },
      });
      expect([letters.length, delivery.calls]).toEqual([3, []]);
      expect(delivery.reasons).toEqual([
        expect.stringMatching(
          /^it cannot be dead-lettered \(InvalidMessageError: Expected .* got Infinity\) after its handler failed \(Error: boom x+\)$/,
        ),
      ]);
      expect(handled.logger.errors).toEqual([expect.stringMatching(/; it is quarantined$/)]);
    },
  );

  it('is quarantined if a function rejects it', async () => {
    const delivery = new Quarantined(1);
    let calls = 0;
    const deadLetter = () => {
      calls++;
      throw INVALID;
    };
    const handled = new Handled(of(delivery as Delivery), boom, { retry: { count: 0 }, deadLetter });
    while (!handled.completed) await turns();
    expect([calls, delivery.reasons.length, handled.statuses]).toEqual([1, 1, ['1#1 rejected']]);
  });

  it('is released if the subscriber unsubscribes inside the logger', async () => {
    const { deadLetter } = refusing(Number.POSITIVE_INFINITY);
    const processing: Processing = new Processing(boom, {
      retry: { count: 0 },
      deadLetter,
      logger: { ...silentLogger, error: () => processing.subscription.unsubscribe() },
    });
    processing.publish([1]);
    await processing.pass(100_000);
    expect([processing.statuses, processing.queue.size]).toEqual([['1#1 released'], 1]);
  });
});

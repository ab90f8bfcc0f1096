import { NEVER, of } from 'rxjs';
import { AsyncLoopConsumer, type Delivery, type HandleOptions, type Logger, MemoryBackend, type Outcome } from 'sluice';
import { type DeliveryOwner, DriverDelivery } from '../../src/core/delivery.js';
import { messageOf } from '../core/fakes.js';
import { FakeDelivery, Handled, Processing, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const REASON = new Error('The id is not a number');

/** A logger that records its warnings and errors with their details. */
function fullLogger(): Logger & { readonly told: [level: string, message: string, ...details: unknown[]][] } {
  const told: [string, string, ...unknown[]][] = [];
  return {
    told,
    debug() {},
    warn: (message, ...details) => void told.push(['warn', message, ...details]),
    error: (message, ...details) => void told.push(['error', message, ...details]),
  };
}

/** A memory queue whose handler calls reject(). */
function rejecting(handler: TestHandler, options: HandleOptions = {}) {
  const logger = fullLogger();
  const processing = new Processing(handler, { logger, ...options });
  void processing.queue.publish('order', { n: 1 });
  return { processing, logger };
}

const ENDS: [string, TestHandler][] = [
  ['returns', (delivery) => void delivery.reject(REASON)],
  ['returns a value', (delivery) => [delivery.reject(REASON)]],
  [
    'resolves',
    async (delivery) => {
      await turns();
      await delivery.reject(REASON);
    },
  ],
  [
    'returns an Observable',
    (delivery) => {
      void delivery.reject(REASON);
      return of(1, 2);
    },
  ],
  [
    'returns an async generator',
    async function* (delivery) {
      yield 1;
      await delivery.reject(REASON);
    },
  ],
];

describe('A manual reject() in a handler of handle', () => {
  it.each(ENDS)('appears in the outcome and in one warning if the handler %s', async (_, handler) => {
    const { processing, logger } = rejecting(handler);
    await turns(50);
    expect(processing.outcomes).toEqual([expect.objectContaining({ status: 'rejected', error: REASON })]);
    const id = processing.outcomes[0]?.delivery.id;
    expect(logger.told).toEqual([
      [
        'warn',
        `A handler rejected its message: delivery ${id} ("order") from queue "work", attempt 1: Error: The id is not a number; it is not redelivered`,
        { queue: 'work', key: 'order', id, attempt: 1, error: REASON },
      ],
    ]);
    expect(processing.queue.unfinished).toBe(0);
  });

  it('is logged without a reason, too, and the outcome has no error', () => {
    const { processing, logger } = rejecting((delivery) => void delivery.reject());
    expect(processing.outcomes[0]?.status).toBe('rejected');
    expect('error' in (processing.outcomes[0] ?? {})).toBe(false);
    expect(logger.told).toEqual([
      [
        'warn',
        expect.stringMatching(/, attempt 1: it gave no reason; it is not redelivered$/),
        { queue: 'work', key: 'order', id: expect.any(String), attempt: 1 },
      ],
    ]);
  });

  it('counts only with the first reason', () => {
    const { processing, logger } = rejecting((delivery) => {
      void delivery.reject(REASON);
      void delivery.reject('another');
    });
    expect(processing.outcomes[0]?.error).toBe(REASON);
    expect(logger.told.length).toBe(1);
  });

  it('is ignored if the delivery is already settled', () => {
    const { processing, logger } = rejecting((delivery) => {
      void delivery.ack();
      void delivery.reject(REASON);
    });
    expect(processing.statuses).toEqual(['1#1 acked']);
    expect('error' in (processing.outcomes[0] ?? {})).toBe(false);
    expect(logger.told).toEqual([]);
  });

  it.each([undefined, 'key' as const])('appears on a later attempt (orderBy: %p)', async (orderBy) => {
    const { processing, logger } = rejecting(
      (delivery) => {
        if (delivery.attempt === 1) throw new Error('503');
        void delivery.reject(REASON);
      },
      { orderBy, retry: { count: 1, delay: 1 } },
    );
    await processing.pass(1);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 rejected']);
    expect(processing.outcomes[1]?.error).toBe(REASON);
    expect(logger.told.slice(1)).toEqual([
      ['warn', expect.stringContaining('attempt 2: Error: The id'), expect.objectContaining({ attempt: 2 })],
    ]);
  });

  it('shares the warning of a handler that then fails, whose error is in the outcome', () => {
    const boom = new Error('boom');
    const { processing, logger } = rejecting((delivery) => {
      void delivery.reject(REASON);
      throw boom;
    });
    expect(processing.outcomes).toEqual([expect.objectContaining({ status: 'rejected', error: boom })]);
    expect(logger.told.map(([level]) => level)).toEqual(['warn']);
    for (const part of ['boom', 'rejected', 'The id is not a number']) expect(logger.told[0]?.[1]).toContain(part);
  });

  it('appears after the subscriber has unsubscribed', () => {
    const { processing, logger } = rejecting((delivery) => {
      void delivery.reject(REASON);
      return NEVER;
    });
    processing.subscription.unsubscribe();
    expect(processing.outcomes).toEqual([expect.objectContaining({ status: 'rejected', error: REASON })]);
    expect(logger.told.length).toBe(1);
  });

  it.each(['is retried', 'stops'])(
    'is logged if it follows a timeout while the message waits for a retry in place, which then %s',
    (end) => {
      let late!: Delivery;
      const { processing, logger } = rejecting(
        (delivery) => {
          late = delivery;
          return NEVER;
        },
        { orderBy: 'key', timeout: 10, retry: { count: 1, delay: 100 } },
      );
      processing.clock.advance(50);
      void late.reject(REASON);
      if (end === 'stops') processing.subscription.unsubscribe();
      else processing.clock.advance(100);
      expect(processing.statuses).toEqual(['1#1 retried']);
      expect(logger.told.map(([, message]) => message)).toEqual([
        expect.stringContaining('took longer'),
        expect.stringContaining('The id is not a number'),
      ]);
    },
  );

  it('is not logged as a warning if handle rejects, which is logged as an error', () => {
    const { processing, logger } = rejecting(
      () => {
        throw REASON;
      },
      { retry: { count: 0 } },
    );
    expect(processing.outcomes).toEqual([expect.objectContaining({ status: 'rejected', error: REASON })]);
    expect(logger.told.map(([level]) => level)).toEqual(['error']);
  });
});

describe('A manual reject() of a broker delivery', () => {
  it('is reported while the broker settles', async () => {
    const owner = { settle: async () => true, rejected() {} } as Partial<DeliveryOwner> as DeliveryOwner;
    const delivery = new DriverDelivery(owner, 'orders', messageOf('1-0')) as Delivery;
    const handled = new Handled(of(delivery), async (given) => void (await given.reject(REASON)));
    await turns();
    expect(handled.outcomes).toEqual([expect.objectContaining({ status: 'rejected', error: REASON })]);
    expect(handled.logger.warnings).toEqual([
      expect.stringContaining('from queue "orders", attempt 1: Error: The id is not a number'),
    ]);
    expect(Object.getOwnPropertyNames(delivery)).not.toContain('reject');
  });
});

/** Deliveries of a third-party backend. */
const THIRD_PARTIES: [string, () => Delivery][] = [
  ['a class', () => new FakeDelivery(1) as Delivery],
  [
    'an object literal',
    () => {
      const delivery = {
        ...(new FakeDelivery(1) as Delivery),
        ack: async () => true,
        nack: async () => true,
        release: async () => true,
      };
      return Object.assign(delivery, {
        async reject(this: { settled: Delivery['settled'] }) {
          this.settled = 'rejected';
          return true;
        },
      }) as Delivery;
    },
  ],
];

describe.each(THIRD_PARTIES)('A manual reject() of a third-party delivery: %s', (_, make) => {
  it('is reported in the same way with the delivery itself', async () => {
    const delivery = make();
    const keys = Object.keys(delivery);
    const handled = new Handled(of(delivery), (given) => {
      expect(given).toBe(delivery);
      void given.reject(REASON);
    });
    await turns();
    expect(handled.outcomes).toEqual([{ status: 'rejected', delivery, duration: expect.any(Number), error: REASON }]);
    expect(handled.outcomes[0]?.delivery).toBe(delivery);
    expect(handled.logger.warnings).toEqual([expect.stringContaining('The id is not a number')]);
    expect(Object.keys(delivery)).toEqual(keys);
  });

  it('is reported once per delivery if the same object is delivered repeatedly', async () => {
    const delivery = make();
    const handled = new Handled(of(delivery, delivery, delivery), (given) => void given.reject(REASON));
    await turns();
    expect(handled.outcomes.map(({ error }) => error)).toEqual([REASON, REASON, REASON]);
  });

  it('has no reason if the delivery is frozen', async () => {
    const whole = make();
    const delivery = Object.freeze(
      Object.create(whole, {
        settled: { get: () => whole.settled },
        reject: { value: (reason: unknown) => whole.reject(reason) },
      }) as Delivery,
    );
    const handled = new Handled(of(delivery), (given) => void given.reject(REASON));
    await turns();
    expect(handled.outcomes.map((outcome) => [outcome.status, 'error' in outcome])).toEqual([['rejected', false]]);
    expect(handled.logger.warnings).toEqual([expect.stringContaining('no reason')]);
  });
});

describe('A manual reject() in a handler of AsyncLoopConsumer', () => {
  const queues: [string, () => Promise<ConstructorParameters<typeof AsyncLoopConsumer>[0]>][] = [
    [
      'a memory queue',
      async () => {
        const queue = new MemoryBackend({ logger: silentLogger });
        await queue.publish('order', { n: 1 });
        await queue.close();
        return queue;
      },
    ],
    [
      'a queue without deliveries()',
      async () => ({
        publish: async () => {},
        consume: async function* () {
          yield { n: 1 };
        },
      }),
    ],
  ];

  it.each(queues)('appears in outcomes$ and in one warning for %s', async (_, open) => {
    const logger = fullLogger();
    const consumer = new AsyncLoopConsumer(await open(), { logger });
    const outcomes: Outcome[] = [];
    consumer.outcomes$.subscribe((outcome) => outcomes.push(outcome));
    await consumer.run(async (_payload, delivery) => {
      await delivery.reject(REASON);
    });
    expect(outcomes).toEqual([expect.objectContaining({ status: 'rejected', error: REASON })]);
    expect(logger.told.filter(([, message]) => message.startsWith('A handler rejected its message'))).toEqual([
      [
        'warn',
        expect.stringContaining('The id is not a number'),
        expect.objectContaining({ error: REASON, attempt: 1 }),
      ],
    ]);
  });
});

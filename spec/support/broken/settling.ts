import { map, Observable, tap } from 'rxjs';
import { type Delivery, MemoryBackend, type Settlement } from 'sluice';
import { silentLogger } from '../recording-logger.js';
import { asStream, type Broken, changed, delivering, streaming, wrap } from './wrapped.js';

const METHODS = ['ack', 'nack', 'release', 'reject'] as const;

/** Settlements that log nothing if they are late. */
function late(
  delivery: Delivery,
  methods: readonly (typeof METHODS)[number][],
  settled: readonly Settlement[],
): Partial<Delivery> {
  return Object.fromEntries(
    methods.map((how) => [how, async () => !settled.includes(delivery.settled) && delivery[how]()]),
  );
}

/** Backends with defects in settlements or credit. */
export const settling: readonly Broken[] = [
  {
    defect: 'counts a second ack',
    caughtBy: 'rule 6: a second settlement changes nothing and resolves to false, after ack()',
    saying: /Expected ack\(\) of a delivery that is acked to resolve to false, got true/,
    create: delivering((delivery) => ({ ack: () => delivery.ack().then(() => true) })),
  },
  {
    defect: 'rejects a late settlement',
    caughtBy: 'rule 6: a second settlement changes nothing and resolves to false, after nack()',
    saying: /PRECONDITION_FAILED/,
    create: delivering((delivery) =>
      Object.fromEntries(
        METHODS.map((how) => [
          how,
          async () => {
            if (delivery.settled !== false) throw new Error('PRECONDITION_FAILED: unknown delivery tag');
            return delivery[how]();
          },
        ]),
      ),
    ),
  },
  {
    defect: 'lets an old delivery settle a newer delivery of its message',
    caughtBy: 'rule 6: a settlement after unsubscribing resolves to false, and the message is redelivered',
    saying: /resolve to false, got true/,
    create: wrap((_, memory) => {
      const latest = new Map<string, Delivery>();
      return {
        deliveries: (options) => {
          const stream = memory.deliveries(options);
          const byId = stream.pipe(
            tap((delivery) => latest.set(delivery.id, delivery)),
            map((delivery) => changed(delivery, { ack: () => (latest.get(delivery.id) ?? delivery).ack() })),
          );
          return asStream(byId, stream);
        },
      };
    }),
  },
  {
    defect: 'logs nothing for a late settlement',
    caughtBy: 'rule 6: a settlement after the first logs one warning',
    saying: /Waited \d+ ms for a warning of a late ack\(\) of a delivery that is acked/,
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger }),
  },
  {
    defect: 'logs nothing for a late settlement of a requeued delivery',
    caughtBy: 'rule 6: a settlement after the first logs one warning',
    saying: /Waited \d+ ms for a warning of a late ack\(\) of a delivery that is retried/,
    create: delivering((delivery) => late(delivery, METHODS, ['retried', 'released'])),
  },
  {
    defect: 'logs nothing for a late nack, release or reject',
    caughtBy: 'rule 6: a settlement after the first logs one warning',
    saying: /Waited \d+ ms for a warning of a late nack\(\) of a delivery that is acked/,
    create: delivering((delivery) =>
      late(delivery, ['nack', 'release', 'reject'], ['acked', 'retried', 'released', 'rejected']),
    ),
  },
  {
    defect: 'refuses a reason that is not a string',
    caughtBy: 'rule 6: reject() accepts any reason, or none',
    saying: /Expected a string/,
    create: delivering((delivery) => ({
      reject: async (reason) => {
        if (reason !== undefined && typeof reason !== 'string') throw new TypeError('Expected a string');
        return delivery.reject(reason);
      },
    })),
  },
  {
    defect: 'does not count attempts',
    caughtBy: 'rule 6: a message is still redelivered after many nacks',
    saying: /Expected `attempt` .* to be 2, got 1/,
    create: delivering(() => ({ attempt: 1 })),
  },
  {
    defect: 'counts a release as an attempt',
    caughtBy: 'rule 6: release() does not count as an attempt',
    saying: /\+ {3}2,\n\+ {3}3,/,
    create: delivering((delivery) => ({ release: () => delivery.nack() })),
  },
  {
    defect: 'rejects a message after five attempts',
    caughtBy: 'rule 6: a message is still redelivered after many nacks',
    saying: /6 deliveries, got 5/,
    create: delivering((delivery) => ({
      nack: (options) => (delivery.attempt < 5 ? delivery.nack(options) : delivery.reject('too often')),
    })),
  },
  {
    defect: 'requeues a rejected message',
    caughtBy: 'rule 6: ack() and reject() end a message; nack() and release() requeue it',
    saying: /\+ 'retried'\n- 'rejected'/,
    create: delivering((delivery) => ({ reject: () => delivery.nack() })),
  },
  {
    defect: 'ignores the prefetch',
    caughtBy: 'rule 7: a subscriber with a prefetch of 3 has no more in flight, and others get the rest',
    saying: /to have no more in flight/,
    create: wrap((_, memory) => ({
      deliveries: (options = {}) =>
        asStream(memory.deliveries({ ...options, prefetch: 1000 }), memory.deliveries(options)),
    })),
  },
  {
    defect: 'returns credit for a late settlement',
    caughtBy: 'rule 7: a second settlement returns no second credit',
    saying: /Expected deliveries of \[1 2 3\], got \[1 2 3 4/,
    create: streaming(
      (_, { prefetch = 32, ...options }, memory) =>
        new Observable((subscriber) => {
          let credit = prefetch;
          const waiting: Delivery[] = [];
          const flow = () => {
            while (credit > 0 && waiting.length > 0) {
              credit--;
              subscriber.next(withCredit(waiting.shift() as Delivery));
            }
          };
          const withCredit = (delivery: Delivery) =>
            changed(delivery, {
              ack: () => {
                credit++;
                const counted = delivery.ack();
                flow();
                return counted;
              },
            });
          return memory.deliveries({ ...options, prefetch: 1000 }).subscribe((delivery) => {
            waiting.push(delivery);
            flow();
          });
        }),
    ),
  },
  {
    defect: 'does not return the credit of a reject',
    caughtBy: 'rule 7: every settlement returns its credit at once, also a delayed nack',
    saying: /deliveries of \[1 2 3\], got \[1 2\]/,
    create: delivering(() => ({ reject: async () => true })),
  },
  {
    defect: 'does not count delayed messages',
    caughtBy: 'rule 6: stats() counts a message at every moment until it is settled, delayed or not',
    saying: /Expected 8 unfinished messages or, for a moment, more, got 0/,
    create: wrap((_, memory) => ({
      stats: async (options) => {
        const { ready } = await memory.stats(options);
        return { ready, unfinished: ready };
      },
    })),
  },
];

import { map, Observable, tap } from 'rxjs';
import { type Delivery, MemoryBackend, type Settlement } from 'sluice';
import { silentLogger } from '../recording-logger.js';
import { asStream, type Broken, changed, delivering, streaming, wrap } from './wrapped.js';

const HOWS = ['ack', 'nack', 'release', 'reject'] as const;

/** Settlements that say nothing where they come too late. */
function late(
  delivery: Delivery,
  hows: readonly (typeof HOWS)[number][],
  settled: readonly Settlement[],
): Partial<Delivery> {
  return Object.fromEntries(
    hows.map((how) => [how, async () => !settled.includes(delivery.settled) && delivery[how]()]),
  );
}

/** Backends that get settlement or credit wrong. */
export const settling: readonly Broken[] = [
  {
    defect: 'counts a double ack',
    caughtBy: 'rule 6: a second settlement changes nothing and resolves to false, after ack()',
    saying: /Expected ack\(\) of a delivery that is acked to resolve to false, got true/,
    create: delivering((delivery) => ({ ack: () => delivery.ack().then(() => true) })),
  },
  {
    defect: 'throws on a settlement too many',
    caughtBy: 'rule 6: a second settlement changes nothing and resolves to false, after nack()',
    saying: /PRECONDITION_FAILED/,
    create: delivering((delivery) =>
      Object.fromEntries(
        HOWS.map((how) => [
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
    defect: 'lets a stale delivery settle the newer one of its message',
    caughtBy: 'rule 6: a delivery that its consumer gave back by leaving settles to false, and its message goes on',
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
    defect: 'says nothing of a settlement too many',
    caughtBy: 'rule 6: a settlement too many logs one warning',
    saying: /Waited \d+ ms for a warning of a late ack\(\) of what is acked/,
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger }),
  },
  {
    defect: 'says nothing of a settlement of what went back',
    caughtBy: 'rule 6: a settlement too many logs one warning',
    saying: /Waited \d+ ms for a warning of a late ack\(\) of what is retried/,
    create: delivering((delivery) => late(delivery, HOWS, ['retried', 'released'])),
  },
  {
    defect: 'says nothing of a late nack, release or reject',
    caughtBy: 'rule 6: a settlement too many logs one warning',
    saying: /Waited \d+ ms for a warning of a late nack\(\) of what is acked/,
    create: delivering((delivery) =>
      late(delivery, ['nack', 'release', 'reject'], ['acked', 'retried', 'released', 'rejected']),
    ),
  },
  {
    defect: 'refuses a reason that is no string',
    caughtBy: 'rule 6: reject() takes any reason, or none',
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
    caughtBy: 'rule 6: after nacks again and again, a message is still delivered',
    saying: /Expected `attempt` .* to be 2, got 1/,
    create: delivering(() => ({ attempt: 1 })),
  },
  {
    defect: 'counts a release as an attempt',
    caughtBy: 'rule 6: release() leaves the attempt as it was',
    saying: /\+ {3}2,\n\+ {3}3,/,
    create: delivering((delivery) => ({ release: () => delivery.nack() })),
  },
  {
    defect: 'gives a message up after five attempts',
    caughtBy: 'rule 6: after nacks again and again, a message is still delivered',
    saying: /6 deliveries, of which 5 came/,
    create: delivering((delivery) => ({
      nack: (options) => (delivery.attempt < 5 ? delivery.nack(options) : delivery.reject('too often')),
    })),
  },
  {
    defect: 'takes a reject for a nack',
    caughtBy: 'rule 6: ack() and reject() end a message, nack() and release() bring it back',
    saying: /\+ 'retried'\n- 'rejected'/,
    create: delivering((delivery) => ({ reject: () => delivery.nack() })),
  },
  {
    defect: 'ignores the prefetch',
    caughtBy: 'rule 7: a subscriber with a prefetch of 3 holds no more, and others get the rest',
    saying: /hold no more/,
    create: wrap((_, memory) => ({
      deliveries: (options = {}) =>
        asStream(memory.deliveries({ ...options, prefetch: 1000 }), memory.deliveries(options)),
    })),
  },
  {
    defect: 'gives a credit for a settlement that does not count',
    caughtBy: 'rule 7: a second settlement gives no second credit',
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
    defect: 'keeps the credit of what was rejected',
    caughtBy: 'rule 7: every settlement gives its credit back, that of a nack with a delay at once',
    saying: /deliveries of \[1 2 3\], got \[1 2\]/,
    create: delivering(() => ({ reject: async () => true })),
  },
  {
    defect: 'does not count what is delayed',
    caughtBy: 'rule 6: stats() count a message at every moment until it is settled, also one that is delayed',
    saying: /Expected 8 unfinished messages or, for a moment, more, got 0/,
    create: wrap((_, memory) => ({
      stats: async (options) => {
        const { ready } = await memory.stats(options);
        return { ready, unfinished: ready };
      },
    })),
  },
];

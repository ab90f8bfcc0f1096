import { map, Observable } from 'rxjs';
import type { Delivery, MemoryBackend } from 'sluice';
import { numberOf } from '../consumers.js';
import { type Broken, changed, delivering, publishing, streaming, wrap } from './wrapped.js';

/** Returns how long a JavaScript timer waits for a delay. */
function forTimer(delay = 0): number {
  return delay < 2 ** 31 ? delay : 1;
}

/** Backends with a wrong order or wrong delays. */
export const ordering: readonly Broken[] = [
  {
    defect: 'sometimes swaps two messages',
    caughtBy: 'rule 3: messages arrive in the order of the publish() calls, awaited or not',
    saying: /got \[1 2 3 4 5 6 7 8 10/,
    create: wrap((_, memory) => {
      let published = 0;
      return {
        publish: async (...message: Parameters<MemoryBackend['publish']>) => {
          if (++published % 9 === 0) await Promise.resolve();
          await memory.publish(...message);
        },
      };
    }),
  },
  {
    defect: 'requeues nacked messages at the end',
    caughtBy: 'rule 3: a released or nacked message returns to its place',
    saying: /Expected deliveries of \[1 1 1\], got \[1 1 2\]/,
    create: streaming((deliveries, _, memory) =>
      deliveries.pipe(
        map((delivery) =>
          changed(delivery, {
            nack: async () => {
              const counted = await delivery.ack();
              if (counted) await memory.publish(delivery.key, delivery.payload);
              return counted;
            },
          }),
        ),
      ),
    ),
  },
  {
    defect: 'delivers a delayed message at once',
    caughtBy: 'rule 3: a delayed publish is delivered when it is due, not before',
    saying: /Expected deliveries of \[2 1\], got \[1 2\]/,
    create: publishing((memory, key, payload, options) => memory.publish(key, payload, { ...options, delay: 0 })),
  },
  {
    defect: 'rounds the delay of a nack down to seconds',
    caughtBy: 'rule 3: a delayed nack redelivers the message when it is due; other messages pass it',
    saying: /Expected deliveries of \[1 2 3 1\], got \[1 1/,
    create: streaming((deliveries) =>
      deliveries.pipe(
        map((delivery) =>
          changed(delivery, {
            nack: (options) => delivery.nack(options?.delay ? { delay: Math.floor(options.delay / 1000) } : options),
          }),
        ),
      ),
    ),
  },
  {
    defect: 'ignores the delay of a publish that is too long for a timer',
    caughtBy: 'rule 3: a delayed message is unfinished but not ready',
    saying: /Expected deliveries of \[3 4[ 56]*\], got \[[345 ]*2/,
    create: publishing((memory, key, payload, options) =>
      memory.publish(key, payload, { ...options, delay: forTimer(options?.delay) }),
    ),
  },
  {
    defect: 'ignores the delay of a nack that is too long for a timer',
    caughtBy: 'rule 3: a delayed message is unfinished but not ready',
    saying: /Expected deliveries of \[3 4 5 6\], got \[3 4 (5 )?4/,
    create: delivering((delivery) => ({ nack: (options) => delivery.nack({ delay: forTimer(options?.delay) }) })),
  },
  {
    defect: 'gives a delayed message the place of its publish',
    caughtBy: 'rule 3: a delayed publish takes its place when it becomes due, also without a consumer',
    saying: /Expected deliveries of \[2 1 3\], got \[1 2 3\]/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          const waiting: Delivery[] = [];
          return deliveries.subscribe((delivery) => {
            waiting.push(delivery);
            setImmediate(() => {
              for (const next of waiting.splice(0).toSorted((a, b) => numberOf(a.payload) - numberOf(b.payload)))
                subscriber.next(next);
            });
          });
        }),
    ),
  },
];

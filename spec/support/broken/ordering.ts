import { map, Observable } from 'rxjs';
import type { Delivery, MemoryBackend } from 'sluice';
import { numberOf } from '../consumers.js';
import { type Broken, changed, delivering, publishing, streaming, wrap } from './wrapped.js';

/** What a timer of JavaScript makes of a delay. */
function forTimer(delay = 0): number {
  return delay < 2 ** 31 ? delay : 1;
}

/** Backends with an order, or a time, of their own. */
export const ordering: readonly Broken[] = [
  {
    defect: 'swaps two messages now and then',
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
    defect: 'puts what was nacked at the end of the queue',
    caughtBy: 'rule 3: what is released or nacked goes back to its place',
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
    caughtBy: 'rule 3: a delayed publish is seen by nobody before its time, and takes its place then',
    saying: /Expected deliveries of \[2 1\], got \[1 2\]/,
    create: publishing((memory, key, payload, options) => memory.publish(key, payload, { ...options, delay: 0 })),
  },
  {
    defect: 'takes a delay for seconds where it should be milliseconds, downwards',
    caughtBy: 'rule 3: a nack with a delay keeps the message away for that time, and lets others pass',
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
    defect: 'takes the delay of a publish for none where it is too long for a timer',
    caughtBy: 'rule 3: what is delayed is unfinished, and not ready',
    saying: /Expected deliveries of \[3 4[ 56]*\], got \[[345 ]*2/,
    create: publishing((memory, key, payload, options) =>
      memory.publish(key, payload, { ...options, delay: forTimer(options?.delay) }),
    ),
  },
  {
    defect: 'takes the delay of a nack for none where it is too long for a timer',
    caughtBy: 'rule 3: what is delayed is unfinished, and not ready',
    saying: /Expected deliveries of \[3 4 5 6\], got \[3 4 (5 )?4/,
    create: delivering((delivery) => ({ nack: (options) => delivery.nack({ delay: forTimer(options?.delay) }) })),
  },
  {
    defect: 'gives a delayed message the place of its publication',
    caughtBy:
      'rule 3: a delayed publish that falls due while nobody consumes stands behind what was published before that, and before what comes then',
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

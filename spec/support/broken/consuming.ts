import { defer, Observable } from 'rxjs';
import type { ConsumeOptions, Delivery, MemoryBackend, QueueBackend } from 'sluice';
import { asStream, type Broken, streaming, wrap } from './wrapped.js';

/** Another `consume()`. */
function consuming(
  consume: (memory: MemoryBackend, options?: ConsumeOptions) => AsyncIterableIterator<object>,
): (memory: MemoryBackend) => QueueBackend {
  return wrap((_, memory) => ({ consume: (options?: ConsumeOptions) => consume(memory, options) }));
}

/** Backends whose streams and loops begin or end in the wrong way. */
export const consumers: readonly Broken[] = [
  {
    defect: 'lets an abort take away what is out',
    caughtBy:
      'rule 8: an abort stops the intake, what is out can be settled, and the stream completes when the last of it is',
    saying: /resolve to true, got false/,
    create: streaming(
      (deliveries, { signal }) =>
        new Observable((subscriber) => {
          const subscription = deliveries.subscribe(subscriber);
          signal?.addEventListener('abort', () => {
            subscription.unsubscribe();
            subscriber.complete();
          });
        }),
    ),
  },
  {
    defect: 'rejects when it is aborted',
    caughtBy:
      'rule 8: an abort ends a next() that waits, without an error, and the next message goes to another consumer',
    saying: /The operation was aborted/,
    create: consuming((memory, { signal, ...options } = {}) => {
      const payloads = memory.consume(options);
      const waitForNext = payloads.next.bind(payloads);
      const next = () =>
        new Promise<IteratorResult<object>>((resolve, reject) => {
          signal?.addEventListener('abort', () => reject(new DOMException('The operation was aborted', 'AbortError')));
          waitForNext().then(resolve, reject);
        });
      return Object.assign(payloads, { next });
    }),
  },
  {
    defect: 'goes on waiting for a message after an abort',
    caughtBy:
      'rule 8: an abort ends a next() that waits, without an error, and the next message goes to another consumer',
    saying: /Waited \d+ ms for next\(\) to resolve/,
    create: consuming((memory, { signal: _, ...options } = {}) => memory.consume(options)),
  },
  {
    defect: 'takes what was prefetched for what was delivered, when the consumer leaves',
    caughtBy: 'rule 9: what was prefetched and never emitted comes with its attempt unchanged',
    saying: /\+ {3}2,\n\+ {3}2,\n\+ {3}2,\n- {3}1,/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          // Emitted one macrotask later, and counted as emitted now.
          const subscription = deliveries.subscribe((delivery) => void setImmediate(() => subscriber.next(delivery)));
          return () => subscription.unsubscribe();
        }),
    ),
  },
  {
    defect: 'subscribes before anybody does',
    caughtBy: 'rule 10: a stream that nobody subscribes to takes nothing',
    saying: /stats\(\) to say \{"ready":4,"unfinished":4\}, got \{"ready":0/,
    create: wrap((_, memory) => ({
      deliveries: (options) => {
        const stream = memory.deliveries(options);
        const early: Delivery[] = [];
        stream.subscribe((delivery) => early.push(delivery));
        return asStream(
          defer(() => early),
          stream,
        );
      },
    })),
  },
  {
    defect: 'takes a message when an iterator is made',
    caughtBy: 'rule 10: an iterator takes nothing before the first next()',
    saying: /stats\(\) to say \{"ready":2,"unfinished":2\}/,
    create: consuming((memory, options) => {
      const payloads = memory.consume(options);
      const early = [payloads.next()];
      const next = payloads.next.bind(payloads);
      return Object.assign(payloads, { next: () => early.shift() ?? next() });
    }),
  },
  {
    defect: 'iterates by an async generator, whose return() waits behind its next()',
    caughtBy: 'rule 9: return() of consume() ends a next() that waits, promptly, and loses no message',
    saying: /Waited \d+ ms for return\(\) to resolve/,
    create: consuming(async function* (memory, options) {
      yield* memory.consume(options);
    }),
  },
  {
    defect: 'answers several next() with one message',
    caughtBy: 'rule 8: consume() answers several next() in flight in order, each with a message of its own',
    saying: /\+ {3}1,\n\+ {3}1,\n\+ {3}1/,
    create: consuming((memory, options) => {
      const payloads = memory.consume(options);
      const next = payloads.next.bind(payloads);
      let pending: Promise<IteratorResult<object, unknown>> | undefined;
      const shared = () => {
        pending ??= next().finally(() => {
          pending = undefined;
        });
        return pending;
      };
      return Object.assign(payloads, { next: shared }) as AsyncIterableIterator<object>;
    }),
  },
  {
    defect: 'acknowledges a payload when it is handed over',
    caughtBy: 'rule 9: a payload of consume() is unfinished until next() is called again, or the loop has left',
    saying: /stats\(\) to say \{"ready":3,"unfinished":4\}, got \{"ready":2,"unfinished":3\}/,
    create: consuming((memory, options) => {
      const deliveries = memory.deliveries({ prefetch: 1, ...options })[Symbol.asyncIterator]();
      const nextDelivery = deliveries.next.bind(deliveries);
      const next = async () => {
        const { done, value } = await nextDelivery();
        if (done) return { done, value: undefined };
        await value.ack();
        return { done, value: value.payload };
      };
      return Object.assign(deliveries as unknown as AsyncIterableIterator<object>, {
        next,
      }) as AsyncIterableIterator<object>;
    }),
  },
  {
    defect: 'leaks a listener for every consumer',
    caughtBy: 'rule 12: a subscription that has ended leaves no listener on its signal',
    saying: /there are 1/,
    create: streaming((deliveries, { signal }) =>
      defer(() => {
        signal?.addEventListener('abort', () => {});
        return deliveries;
      }),
    ),
  },
  {
    defect: 'leaks a timer for every consumer',
    caughtBy: 'rule 12: consumers that have ended leave no timer and no connection behind',
    saying: /Timeout, Timeout/,
    create: wrap((_, memory) => {
      const timers: NodeJS.Timeout[] = [];
      return {
        deliveries: (options) => {
          timers.push(setInterval(() => {}, 1000));
          return memory.deliveries(options);
        },
        close: async () => {
          for (const timer of timers) clearInterval(timer);
          await memory.close();
        },
      };
    }),
  },
  {
    defect: 'goes on serving a consumer that has left',
    caughtBy: 'rule 12: a consumer that has ended is not served any more',
    saying: /deliveries of \[1 2 3\], got \[\]/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          deliveries.subscribe(subscriber.next.bind(subscriber));
        }),
    ),
  },
  {
    defect: 'does not notice that its subscriber has failed',
    caughtBy: 'rule 9: an error downstream gives back what is out',
    saying: /stats\(\) to say \{"ready":3,"unfinished":3\}/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          // Nobody hears of an error below: what is out stays out.
          deliveries.subscribe({
            next: (delivery) => subscriber.next(delivery),
            complete: () => subscriber.complete(),
          });
        }),
    ),
  },
];

import { defer, Observable } from 'rxjs';
import type { ConsumeOptions, Delivery, MemoryBackend, QueueBackend } from 'sluice';
import { asStream, type Broken, streaming, wrap } from './wrapped.js';

/** Replaces `consume()`. */
function consuming(
  consume: (memory: MemoryBackend, options?: ConsumeOptions) => AsyncIterableIterator<object>,
): (memory: MemoryBackend) => QueueBackend {
  return wrap((_, memory) => ({ consume: (options?: ConsumeOptions) => consume(memory, options) }));
}

/** Backends with defects at the beginning or the end of streams and loops. */
export const consumers: readonly Broken[] = [
  {
    defect: 'requeues deliveries in flight at an abort',
    caughtBy: 'rule 8: an abort stops the intake; the stream completes when the last delivery in flight is settled',
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
    defect: 'rejects a waiting next() at an abort',
    caughtBy: 'rule 8: an abort ends a waiting next() without an error, and the next message goes to another consumer',
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
    defect: 'ignores an abort while next() waits',
    caughtBy: 'rule 8: an abort ends a waiting next() without an error, and the next message goes to another consumer',
    saying: /Waited \d+ ms for next\(\) to resolve/,
    create: consuming((memory, { signal: _, ...options } = {}) => memory.consume(options)),
  },
  {
    defect: 'counts prefetched deliveries as attempts when the consumer unsubscribes',
    caughtBy: 'rule 9: a prefetched delivery that was never emitted keeps its attempt',
    saying: /\+ {3}2,\n\+ {3}2,\n\+ {3}2,\n- {3}1,/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          // The delivery is emitted one macrotask after it counts as emitted.
          const subscription = deliveries.subscribe((delivery) => void setImmediate(() => subscriber.next(delivery)));
          return () => subscription.unsubscribe();
        }),
    ),
  },
  {
    defect: 'consumes before its stream has a subscriber',
    caughtBy: 'rule 10: a stream without a subscriber takes nothing',
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
    defect: 'takes a message when an iterator is created',
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
    defect: 'iterates with an async generator, whose return() waits for its next()',
    caughtBy: 'rule 9: return() of consume() ends a waiting next() and loses no message',
    saying: /Waited \d+ ms for return\(\) to resolve/,
    create: consuming(async function* (memory, options) {
      yield* memory.consume(options);
    }),
  },
  {
    defect: 'answers concurrent next() calls with one message',
    caughtBy: 'rule 8: consume() answers concurrent next() calls in order, each with its own message',
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
    defect: 'acks a payload before the loop has handled it',
    caughtBy: 'rule 9: a payload of consume() is unfinished until next() is called again or the loop exits',
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
    caughtBy: 'rule 12: ended consumers leave no timer and no connection behind',
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
    defect: 'delivers to a consumer that has unsubscribed',
    caughtBy: 'rule 12: an ended consumer gets no more messages',
    saying: /deliveries of \[1 2 3\], got \[\]/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          deliveries.subscribe(subscriber.next.bind(subscriber));
        }),
    ),
  },
  {
    defect: 'ignores the error of a subscriber',
    caughtBy: 'rule 9: an error downstream requeues unsettled deliveries',
    saying: /stats\(\) to say \{"ready":3,"unfinished":3\}/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) => {
          // An error downstream does not reach the source: its deliveries stay in flight.
          deliveries.subscribe({
            next: (delivery) => subscriber.next(delivery),
            complete: () => subscriber.complete(),
          });
        }),
    ),
  },
];

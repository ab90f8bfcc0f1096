import { load } from '../lib/dist.mjs';
import { promiseQueue } from '../lib/loops.mjs';

const { handle, MemoryBackend, toAsyncBatches, toAsyncIterable } = await load('index');

const PREFETCH = 64;

export function open({ capacity } = {}) {
  const queue = new MemoryBackend({ capacity });
  return {
    ...promiseQueue((payload) => queue.publish('bench', payload), { [Symbol.asyncIterator]: () => queue.consume() }),
    /** Acknowledges every delivery immediately. */
    consumeDeliveries(take) {
      queue.deliveries({ prefetch: PREFETCH }).subscribe((delivery) => {
        take(delivery.payload.n);
        void delivery.ack();
      });
    },
    async iterateDeliveries(take) {
      for await (const delivery of queue.deliveries({ prefetch: PREFETCH })) {
        take(delivery.payload.n);
        void delivery.ack();
      }
    },
  };
}

/** Uses `handle()` with all its features. Resolves when the last message is settled. */
export function handleAll(handler, { messages, concurrency, orderBy, keys = ['bench'] }) {
  const queue = new MemoryBackend();
  const settled = handled(queue, ({ payload }) => handler(payload), { messages, concurrency, orderBy });
  for (let n = 0; n < messages; n++) void queue.publish(keys[n % keys.length], { n });
  return settled;
}

/** Handles messages. Resolves when the last one is settled. */
function handled(queue, handler, { messages, concurrency, orderBy }) {
  return new Promise((resolve, reject) => {
    let settled = 0;
    const onOutcome = ({ status, error }) => {
      if (status !== 'acked') reject(error ?? new Error(`A message was ${status}`));
      if (++settled === messages) resolve();
    };
    queue
      .deliveries({ prefetch: Math.max(32, concurrency) })
      .pipe(handle(handler, { concurrency, orderBy, onOutcome }))
      .subscribe({ error: reject });
  });
}

export const intercepted = (kind) => openIntercepted(kind, 'wrapped');

/** Opens a queue of a scenario with interceptors. Other scenarios need not load their packages. */
export async function openIntercepted(kind, how) {
  const module = await import('../lib/intercepted.mjs');
  const { queue, publish, handler } = module.intercepted[kind][how]();
  const handleAll = (take, messages) => handled(queue, handler(take), { messages, concurrency: 8 });
  return { queue, publish, handleAll };
}

export const bridge = (source) => toAsyncIterable(source);

export const bridgeBatches = (source) => toAsyncBatches(source);

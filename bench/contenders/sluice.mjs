import { MemoryBackend, toAsyncBatches, toAsyncIterable } from '../../dist/index.js';
import { promiseQueue } from '../lib/loops.mjs';

const PREFETCH = 64;

export function open({ capacity } = {}) {
  const queue = new MemoryBackend({ capacity });
  return {
    ...promiseQueue((payload) => queue.publish('bench', payload), { [Symbol.asyncIterator]: () => queue.consume() }),
    /** Every message on loan, and settled at once. */
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

export const bridge = (source) => toAsyncIterable(source);

export const bridgeBatches = (source) => toAsyncBatches(source);

import { pushable } from 'it-pushable';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/**
 * Signals backpressure by `onEmpty`: a publisher that finds the queue full waits until it is empty.
 */
export function open({ capacity = Number.POSITIVE_INFINITY } = {}) {
  const queue = pushable({ objectMode: true });
  const push = (payload) => {
    queue.push(payload);
    return queue.readableLength < capacity ? RESOLVED : queue.onEmpty();
  };
  return promiseQueue(push, queue);
}

export function bridge(source) {
  const queue = pushable({ objectMode: true });
  source.subscribe((payload) => queue.push(payload));
  return queue;
}

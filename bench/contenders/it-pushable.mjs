import { setMaxListeners } from 'node:events';
import { pushable } from 'it-pushable';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/** Never aborted. Without a signal, `onEmpty` resolves immediately. */
const { signal } = new AbortController();
setMaxListeners(0, signal);

/**
 * Signals backpressure by `onEmpty`: a publisher that finds the queue full waits until it is empty.
 */
export function open({ capacity = Number.POSITIVE_INFINITY } = {}) {
  const queue = pushable({ objectMode: true });
  const push = (payload) => {
    queue.push(payload);
    return queue.readableLength < capacity ? RESOLVED : queue.onEmpty({ signal });
  };
  return promiseQueue(push, queue);
}

export function bridge(source) {
  const queue = pushable({ objectMode: true });
  source.subscribe((payload) => queue.push(payload));
  return queue;
}

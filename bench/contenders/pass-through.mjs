import { PassThrough } from 'node:stream';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/**
 * A stream holds `highWaterMark` objects on each of its two sides. Without a bound it gets a mark
 * that is never reached: who writes on at a lower one makes its time grow with the square of the
 * backlog.
 */
export function open({ capacity = Number.MAX_SAFE_INTEGER } = {}) {
  const stream = new PassThrough({ objectMode: true, highWaterMark: capacity });
  stream.setMaxListeners(0);
  const push = (payload) => {
    if (stream.write(payload)) return RESOLVED;
    return new Promise((resolve) => stream.once('drain', resolve));
  };
  return promiseQueue(push, stream);
}

export function bridge(source) {
  const stream = new PassThrough({ objectMode: true, highWaterMark: Number.MAX_SAFE_INTEGER });
  source.subscribe((payload) => stream.write(payload));
  return stream;
}

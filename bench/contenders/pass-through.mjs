import { PassThrough } from 'node:stream';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/**
 * A stream buffers `highWaterMark` objects on each of its two sides. Without a capacity, the mark
 * is never reached: above a lower mark, the time grows with the square of the backlog.
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

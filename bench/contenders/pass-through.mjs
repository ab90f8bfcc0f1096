import { PassThrough } from 'node:stream';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/** Never reached: above the mark, the time grows with the square of the backlog. */
const UNBOUNDED = Number.MAX_SAFE_INTEGER;

/** Each of the two sides of a stream buffers `highWaterMark` objects, so each gets half. */
export function open({ capacity } = {}) {
  const highWaterMark = capacity === undefined ? UNBOUNDED : capacity / 2;
  const stream = new PassThrough({ objectMode: true, highWaterMark });
  stream.setMaxListeners(0);
  const push = (payload) => {
    if (stream.write(payload)) return RESOLVED;
    return new Promise((resolve) => stream.once('drain', resolve));
  };
  return promiseQueue(push, stream);
}

export function bridge(source) {
  const stream = new PassThrough({ objectMode: true, highWaterMark: UNBOUNDED });
  source.subscribe((payload) => stream.write(payload));
  return stream;
}

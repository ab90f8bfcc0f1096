import { AsyncSink, from } from 'ix/asynciterable';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

export function open() {
  const sink = new AsyncSink();
  const push = (payload) => {
    sink.write(payload);
    return RESOLVED;
  };
  return promiseQueue(push, sink);
}

export const bridge = (source) => from(source);

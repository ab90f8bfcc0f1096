import { Subject } from 'rxjs';
import { bufferedValuesFrom, eachValueFrom } from 'rxjs-for-await';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/** Subscribes on the first `next()`. Earlier values are lost. */
export const consumesFirst = true;

export function open() {
  const source = new Subject();
  const push = (payload) => {
    source.next(payload);
    return RESOLVED;
  };
  return promiseQueue(push, eachValueFrom(source));
}

export const bridge = (source) => eachValueFrom(source);

export const bridgeBatches = (source) => bufferedValuesFrom(source);

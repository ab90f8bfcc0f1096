import { processWide } from './process-wide.js';

/**
 * Resolved promises that mean "done within the call". A backend returns them if the call had its
 * effect synchronously. A caller that gets one of them continues without waiting for a microtask.
 * This keeps pipelines fast, and synchronous under virtual time.
 *
 * `DONE`: a publish was stored. `COUNTED`, `NOT_COUNTED`: a settlement counted, or did not.
 */
export const DONE: Promise<void> = processWide('done', () => Promise.resolve());
export const COUNTED: Promise<boolean> = processWide('counted', () => Promise.resolve(true));
export const NOT_COUNTED: Promise<boolean> = processWide('not counted', () => Promise.resolve(false));

/**
 * Calls `onDone` when a call has succeeded: synchronously if it returns `DONE`. A call that throws
 * counts as one that rejects.
 */
export function whenDone(
  call: () => Promise<void> | void,
  onDone: () => void,
  onError: (error: unknown) => void,
): void {
  let done: Promise<void> | void;
  try {
    done = call();
  } catch (error) {
    onError(error);
    return;
  }
  if (done === DONE) onDone();
  else Promise.resolve(done).then(onDone, onError);
}

/** Returns the promise of a call. If the call throws, returns a rejection. */
export function answerTo<Value>(call: () => Promise<Value>): Promise<Value> {
  try {
    return Promise.resolve(call());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Ignores the result of a settlement. The backend logs a failure, or ends the stream with it. */
export function unawaited(settled: Promise<boolean> | undefined): void {
  if (settled !== COUNTED) settled?.catch(() => {});
}

/** Whether a value is a promise, of any library. */
export function isThenable<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof (value as Partial<PromiseLike<Value>> | null | undefined)?.then === 'function';
}

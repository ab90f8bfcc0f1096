import { processWide } from './process-wide.js';

/**
 * The promises that a backend answers with when what was asked for has happened within the call. Whoever gets one of them need not wait a microtask to
 * go on, which is what keeps a pipeline under virtual time synchronous, and a fast one fast.
 */
export const DONE: Promise<void> = processWide('done', () => Promise.resolve());
export const COUNTED: Promise<boolean> = processWide('counted', () => Promise.resolve(true));
export const NOT_COUNTED: Promise<boolean> = processWide('not counted', () => Promise.resolve(false));

/** Goes on when a call is done, within this one if it is done already. A call that throws has failed as one that rejects. */
export function whenDone(
  call: () => Promise<void> | void,
  onDone: () => void,
  onError: (error: unknown) => void,
): void {
  let answer: Promise<void> | void;
  try {
    answer = call();
  } catch (error) {
    onError(error);
    return;
  }
  if (answer === DONE) onDone();
  else Promise.resolve(answer).then(onDone, onError);
}

/** What a call answers; of one that throws, a rejection. */
export function answerTo<Value>(call: () => Promise<Value>): Promise<Value> {
  try {
    return Promise.resolve(call());
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Waits for nothing, and hears of no failure: whoever settles says what went wrong in its own log, or ends the stream with it. */
export function unawaited(answer: Promise<boolean> | undefined): void {
  if (answer !== COUNTED) answer?.catch(() => {});
}

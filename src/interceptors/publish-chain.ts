import type { PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import { SluiceError } from '../errors.js';
import { DONE } from '../internal/answers.js';
import { describe } from '../internal/describe.js';
import { isPlainObject } from '../internal/message.js';
import { onAbort } from '../internal/on-abort.js';
import { checkOptions, checkSignal } from '../internal/options.js';
import type { PublishedMessage, QueueInterceptor } from './interceptor.js';

/** The `publish` of any queue. */
export type Publish = (key: QueueKey, payload: QueuePayload, options?: PublishOptions) => Promise<void>;

/** An interceptor of publishes. */
export type PublishInterceptor = QueueInterceptor & Required<Pick<QueueInterceptor, 'publish'>>;

type Next = (message: PublishedMessage) => Promise<void>;

const NO_OPTIONS: PublishOptions = Object.freeze({});

/** Wraps a `publish` in interceptors, the first outermost. */
export function interceptPublish(publish: Publish, interceptors: readonly PublishInterceptor[]): Publish {
  const send = sender(publish);
  const first = chain(interceptors, send);
  return (key, payload, options) => {
    try {
      const message = { key, payload, options: options === undefined ? NO_OPTIONS : copyOptions(options) };
      const signal = checkSignal('signal', message.options.signal);
      return signal === undefined ? first(message) : publishUntil(signal, message, interceptors, send);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

function sender(publish: Publish): Next {
  return (message) => {
    if (typeof message !== 'object' || message === null)
      throw new TypeError(`Expected \`next\` of an interceptor to be called with a message, got ${describe(message)}`);
    const { key, payload, options } = message;
    return publish(key, payload, options === NO_OPTIONS ? undefined : options);
  };
}

function chain(interceptors: readonly PublishInterceptor[], send: Next): Next {
  return interceptors.reduceRight<Next>((next, interceptor) => around(interceptor, next), send);
}

/** Calls an interceptor around `next`. The promise of a plain `return next(message)` stays as it is. */
function around(interceptor: PublishInterceptor, next: Next): Next {
  return (message) => {
    let called = false;
    let inner: Promise<void> | undefined;
    let misuse: SluiceError | undefined;
    const answer: unknown = interceptor.publish(message, (given) => {
      if (!called) {
        called = true;
        inner = answerOf(next, given);
        return inner;
      }
      misuse = new SluiceError(
        'An interceptor called `next` twice for one publish. The second call published nothing; the message of the first may have been enqueued',
      );
      return rejected(misuse);
    });
    if (answer === inner && misuse === undefined) return inner ?? DONE;
    return checkedLater(answer === undefined ? inner : answer, () => misuse);
  };
}

/** An interceptor may need time, and the caller may reuse its options. */
function copyOptions(options: PublishOptions): PublishOptions {
  const { headers } = checkOptions(options);
  // What is no object stays for the queue to refuse.
  return isPlainObject(headers) ? { ...options, headers: { ...headers } } : { ...options };
}

/** As `answerTo`, but without a function for each message. */
function answerOf(next: Next, message: PublishedMessage): Promise<void> {
  try {
    return next(message);
  } catch (error) {
    return Promise.reject(error);
  }
}

/** Fails the publish if the interceptor has misused `next`, also if it ignored the rejection. */
async function checkedLater(answer: unknown, misuse: () => SluiceError | undefined): Promise<void> {
  await answer;
  const error = misuse();
  if (error !== undefined) throw error;
}

/** A rejection that nobody has to handle. */
function rejected(error: unknown): Promise<never> {
  const rejection = Promise.reject(error);
  rejection.catch(() => {});
  return rejection;
}

/**
 * Publishes until the signal aborts, whatever an interceptor waits for. If the queue has the message
 * by then, its answer counts.
 */
function publishUntil(
  signal: AbortSignal,
  message: PublishedMessage,
  interceptors: readonly PublishInterceptor[],
  send: Next,
): Promise<void> {
  signal.throwIfAborted();
  let sent: Promise<void> | undefined;
  const answer = chain(interceptors, (given) => {
    if (signal.aborted) return rejected(signal.reason);
    sent = send(given);
    return sent;
  })(message);
  if (answer === DONE) return answer;
  return new Promise((resolve, reject) => {
    const abort = () => resolve(sent ?? rejected(signal.reason));
    const ignoreAbort = signal.aborted ? () => {} : onAbort(signal, abort);
    if (signal.aborted) abort();
    Promise.resolve(answer).finally(ignoreAbort).then(resolve, reject);
  });
}

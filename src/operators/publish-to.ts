import { Observable, type OperatorFunction, type Subscriber } from 'rxjs';
import type { AnyEvents, EventMap, PublishArguments, PublishOptions, QueueBackend, QueueEntry } from '../backend.js';
import { answerTo, whenDone } from '../internal/answers.js';
import { AsyncContext, inContext } from '../internal/async-context.js';
import { BlockQueue } from '../internal/block-queue.js';
import { describe } from '../internal/describe.js';
import { checkObservable } from '../internal/observables.js';
import { onAbort } from '../internal/on-abort.js';
import { checkCount, checkFunction, checkMethods, checkOptions, checkSignal } from '../internal/options.js';
import { Sink, type SourceObserver } from '../internal/sink.js';

export interface PublishToOptions {
  /**
   * How many publishes may wait for their confirm at a time: an integer >= 1. Above 1, values may
   * be emitted out of order. Default: 1.
   */
  readonly concurrency?: number | undefined;
}

/**
 * Publishes each value, and emits it once the queue has confirmed it.
 *
 * While `publish` waits, values that arrive are buffered without a bound, because an Observable
 * cannot be slowed down. A publish that fails ends the stream with its error. Unsubscribing aborts
 * the publishes that wait for capacity: their messages are not enqueued. After an error of the
 * source, the values before it are published first.
 *
 * `toEntry`, `publish` and the downstream subscriber run in the `AsyncLocalStorage` context of the
 * subscription. A value that waited would otherwise get the context of another one.
 *
 * *Gotchas*: a publish that waited for capacity resolves a microtask later, also in virtual time.
 * In a marble test, give the queue enough capacity.
 *
 * @example
 * ```ts
 * orders$.pipe(publishTo(queue, (order) => ['orders.created', order])).subscribe();
 * orders$.pipe(publishTo(queue, (order) => ['orders.remind', order, { delay: 60_000 }])).subscribe();
 * ```
 * @param toEntry returns the message for a value: its key, its payload and optionally the options
 * of `publish`
 * @throws {TypeError | RangeError} if the queue, the function or an option is invalid. The message
 * names it.
 */
export function publishTo<Value, Events extends EventMap<Events> = AnyEvents>(
  queue: Pick<QueueBackend<Events>, 'publish'>,
  toEntry: (value: Value) => QueueEntry<Events> | Readonly<PublishArguments<Events>>,
  options?: PublishToOptions,
): OperatorFunction<Value, Value> {
  checkMethods('queue', queue, ['publish']);
  checkFunction('toEntry', toEntry);
  const { concurrency = 1 } = checkOptions(options);
  checkCount('concurrency', concurrency);
  const send = (value: Value, unsubscribed: AbortSignal): Promise<void> => {
    const [key, payload, options] = checkEntry(toEntry(value));
    const publish = (signal: AbortSignal) =>
      (queue as Pick<QueueBackend, 'publish'>).publish(key, payload, { ...options, signal });
    const signal = checkSignal('signal', options?.signal);
    return signal === undefined ? publish(unsubscribed) : withEither(unsubscribed, signal, publish);
  };
  return (source) => {
    const values = checkObservable<Value>('source', source);
    return new Observable((subscriber) => {
      const context = new AsyncContext();
      new Publishing(inContext(subscriber, context), context.bind(send), concurrency).connect(values);
    });
  };
}

/** @throws {TypeError} if the entry is not a message */
function checkEntry(entry: unknown): PublishArguments {
  const isArray = Array.isArray(entry);
  if (!isArray || entry.length < 2 || entry.length > 3) {
    const got = isArray ? `an array of ${entry.length}` : describe(entry);
    throw new TypeError(
      `Expected \`toEntry\` to return a message, [key, payload] or [key, payload, options], got ${got}`,
    );
  }
  checkOptions<PublishOptions>(entry[2], 'options');
  return entry as PublishArguments;
}

/**
 * Makes a call with a signal that aborts when one of two does. Removes its listeners when the call
 * is done.
 */
function withEither(one: AbortSignal, other: AbortSignal, call: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const aborted = [one, other].find((signal) => signal.aborted);
  if (aborted !== undefined) return call(aborted);
  const either = new AbortController();
  const ignoreAborts = [one, other].map((signal) => onAbort(signal, () => either.abort(signal.reason)));
  const done = () => {
    for (const ignoreAbort of ignoreAborts) ignoreAbort();
  };
  const answer = answerTo(() => call(either.signal));
  whenDone(() => answer, done, done);
  return answer;
}

/** One subscription to `publishTo`. */
class Publishing<Value> implements SourceObserver<Value> {
  readonly #subscriber: Subscriber<Value>;
  readonly #send: (value: Value, signal: AbortSignal) => Promise<void>;
  readonly #concurrency: number;
  readonly #source = new Sink<Value>(this, true);
  readonly #unsubscribed = new AbortController();
  readonly #waiting = new BlockQueue<Value>();
  #publishing = 0;
  #sending = false;
  #sourceEnded = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(
    subscriber: Subscriber<Value>,
    send: (value: Value, signal: AbortSignal) => Promise<void>,
    concurrency: number,
  ) {
    this.#subscriber = subscriber;
    this.#send = send;
    this.#concurrency = concurrency;
  }

  connect(source: Observable<Value>): void {
    this.#subscriber.add(() => {
      this.#unsubscribed.abort();
      this.#source.unsubscribe();
    });
    source.subscribe(this.#source);
  }

  take(value: Value): void {
    this.#waiting.push(value);
    this.#sendWaiting();
  }

  exhaust(failure?: { readonly error: unknown }): void {
    this.#sourceEnded = true;
    this.#failure = failure;
    this.#endIfDone();
  }

  /** Loops instead of recursing when a publish is done within its call. */
  #sendWaiting(): void {
    if (this.#sending) return;
    this.#sending = true;
    while (this.#waiting.length > 0 && this.#publishing < this.#concurrency && !this.#subscriber.closed)
      this.#sendOne(this.#waiting.shift());
    this.#sending = false;
    this.#endIfDone();
  }

  #sendOne(value: Value): void {
    this.#publishing++;
    whenDone(
      () => this.#send(value, this.#unsubscribed.signal),
      () => {
        this.#publishing--;
        this.#subscriber.next(value);
        this.#sendWaiting();
      },
      (error) => this.#subscriber.error(error),
    );
  }

  #endIfDone(): void {
    if (!this.#sourceEnded || this.#publishing > 0 || this.#waiting.length > 0) return;
    if (this.#failure === undefined) this.#subscriber.complete();
    else this.#subscriber.error(this.#failure.error);
  }
}

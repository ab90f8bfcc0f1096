import type { Observable, Subscription, TimestampProvider } from 'rxjs';
import { fromAsyncIterable } from '../../bridge/from-async-iterable.js';
import { HandlerTimeoutError } from '../../errors.js';
import { after } from '../../internal/after.js';
import { isThenable } from '../../internal/answers.js';
import { isContextInUse } from '../../internal/async-context.js';
import { nameOf } from '../../internal/delivery-log.js';
import { watchRejection } from '../../internal/delivery-symbols.js';
import { type Interception, interceptionOf, type ProcessHook } from '../../internal/interception.js';
import type { Logger } from '../../internal/logger.js';
import { isAsyncIterable, isObservable, toOwnObservable } from '../../internal/observables.js';
import { Sink, type SourceObserver } from '../../internal/sink.js';
import { turn } from '../../internal/turn.js';
import { clockOf, isVirtual } from '../../internal/virtual-time.js';
import type { BoundHandleOptions, Handler, PrefetchController } from '../handle-options.js';
import type { Attempt, Failure } from './attempt.js';
import { type AttemptRunner, Processing } from './processing.js';

/** What a subscription adds to its options. */
export interface WorkerCallbacks {
  readonly handler: Handler;
  /** Told of each start; undefined if the credit is fixed. */
  readonly prefetch: PrefetchController | undefined;
  /** Whether the handler of an attempt may start now, after its interceptors have waited. */
  readonly mayRun: (attempt: Attempt) => boolean;
  /** Called with each value of an Observable or an async iterable. */
  readonly onValue: (value: unknown) => void;
  /** Called when a handler has ended after its start returned. */
  readonly onEnd: (worker: Worker) => void;
}

/** The handlers that run. */
export class Workers {
  running = 0;
  readonly #options: BoundHandleOptions;
  readonly #callbacks: WorkerCallbacks;
  readonly #clock: TimestampProvider;
  readonly #isVirtual: boolean;
  readonly #all = new Set<Worker>();
  readonly #free: Worker[] = [];
  /** Whether outcomes need durations. To read the clock costs as much as an empty handler. */
  #measured: boolean;

  constructor(options: BoundHandleOptions, callbacks: WorkerCallbacks) {
    const { scheduler, onOutcome } = options;
    this.#options = options;
    this.#callbacks = callbacks;
    this.#clock = clockOf(scheduler);
    this.#isVirtual = isVirtual(scheduler);
    this.#measured = onOutcome !== undefined || callbacks.prefetch !== undefined;
  }

  /** Whether another handler may start. */
  get hasFree(): boolean {
    return this.running < this.#options.concurrency;
  }

  /** Returns the time, or 0 if nothing needs it. */
  now(): number {
    return this.#measured ? this.#clock.now() : 0;
  }

  /**
   * Starts the handler of an attempt. Returns its worker if the handler ended within this call.
   * @param now the time, if it is known; else 0
   */
  start(attempt: Attempt, now: number): Worker | undefined {
    const worker = this.#free.pop() ?? this.#newWorker();
    this.running++;
    const interception = interceptionOf(attempt.delivery);
    if (interception !== undefined) this.#measured = true;
    if (this.#measured) {
      worker.startedAt = now || this.#clock.now();
      this.#callbacks.prefetch?.handlerStarted(worker.startedAt);
    }
    if (isContextInUse()) this.#runInContext(worker, attempt, interception);
    else worker.run(attempt, interception);
    return worker.endedInCall ? worker : undefined;
  }

  /** Takes a worker back whose handler has ended. */
  free(worker: Worker): void {
    this.running--;
    if (worker.timedOut) this.#all.delete(worker);
    else this.#free.push(worker);
  }

  /** Abandons a handler that runs. Returns its attempt, and notes how long it ran. */
  abandon(worker: Worker): Attempt {
    const attempt = worker.attempt as Attempt;
    worker.abandon(undefined);
    worker.duration = this.now() - worker.startedAt;
    return attempt;
  }

  /** Returns the workers whose handlers run, or whose end has not been handled yet. */
  busy(): Worker[] {
    return [...this.#all].filter(({ attempt }) => attempt !== undefined);
  }

  /** Separate from `start`: a closure in a function costs each of its calls. */
  #runInContext(worker: Worker, attempt: Attempt, interception: Interception | undefined): void {
    this.#options.context.run(() => worker.run(attempt, interception));
  }

  #newWorker(): Worker {
    const worker = new Worker(this.#options, this.#callbacks, this.#isVirtual);
    this.#all.add(worker);
    return worker;
  }
}

/**
 * Runs one handler at a time. It is reused, so that its callbacks are made once for many attempts.
 */
export class Worker implements SourceObserver<unknown>, AttemptRunner {
  /** The attempt whose handler runs; undefined while the worker is free. */
  attempt: Attempt | undefined;
  startedAt = 0;
  /** How long an abandoned handler ran, in milliseconds. */
  duration = 0;
  /** Whether the handler has ended, and how: `result` is its value or its error. */
  ended = false;
  failed = false;
  result: unknown;
  /** Whether its handler was not run: the consumer has stopped. */
  skipped = false;
  /** Whether it ended before `run` returned. Then `onEnd` is not called. */
  endedInCall = false;
  /** While its interceptors are entered. */
  #inCall = false;
  /** Whether the interceptors have started the handler. */
  #isStarted = false;
  /** The error of an interceptor while its handler runs: the attempt fails with it. */
  #failure: Failure | undefined;
  /** Whether the handler timed out. It may still run, so the worker must not be reused. */
  timedOut = false;
  readonly #options: BoundHandleOptions;
  readonly #callbacks: WorkerCallbacks;
  /** Whether the scheduler runs in virtual time. */
  readonly #isVirtual: boolean;
  #timer: Subscription | undefined;
  #values: Sink<unknown> | undefined;

  readonly #onResult = (value: unknown): void => this.#endInTurn(false, value);
  readonly #onError = (error: unknown): void => this.#endInTurn(true, error);
  readonly #tellEnd = (): void => {
    if (this.attempt !== undefined) this.#callbacks.onEnd(this);
  };

  constructor(options: BoundHandleOptions, callbacks: WorkerCallbacks, isVirtual: boolean) {
    this.#options = options;
    this.#callbacks = callbacks;
    this.#isVirtual = isVirtual;
  }

  get logger(): Logger {
    return this.#options.logger;
  }

  /** @param interception what interceptors have to do with the delivery */
  run(attempt: Attempt, interception: Interception | undefined): void {
    this.attempt = attempt;
    this.ended = this.endedInCall = this.skipped = false;
    watchRejection(attempt.delivery);
    if (interception === undefined) this.endedInCall = this.#start(attempt);
    else this.#process(attempt, interception.processHooks);
  }

  /** Aborts the handler and ignores what it does from now on. */
  abandon(reason: unknown): void {
    const { attempt } = this;
    this.attempt = undefined;
    this.#timer?.unsubscribe();
    // The signal first: a handler can then tell an abort from an end.
    attempt?.abort(reason);
    this.#values?.unsubscribe();
  }

  take(value: unknown): void {
    if (this.attempt !== undefined) this.#callbacks.onValue(value);
  }

  exhaust(failure?: { readonly error: unknown }): void {
    this.#values = undefined;
    this.#endInTurn(failure !== undefined, failure?.error);
  }

  /** Starts the handler. Returns whether it has ended. */
  #start(attempt: Attempt): boolean {
    let result: unknown;
    let work: Promise<unknown> | Observable<unknown> | undefined;
    try {
      result = this.#callbacks.handler(attempt.delivery, attempt);
      work = result instanceof Promise ? result : workOf(result);
    } catch (error) {
      return this.#end(true, error);
    }
    if (work === undefined) return this.#end(false, result);
    if (work instanceof Promise) this.#await(work);
    else this.#flatten(work);
    return false;
  }

  /** Enters the interceptors, which start the handler now or later, or fail. */
  #process(attempt: Attempt, hooks: readonly ProcessHook[]): void {
    this.#inCall = true;
    this.#isStarted = false;
    const processing = new Processing(attempt, hooks, this);
    attempt.processing = processing;
    processing.enter(0);
    this.#inCall = false;
    // An interceptor may have unsubscribed after its handler had ended: the attempt is settled.
    if (this.attempt === undefined) this.endedInCall = false;
    else if (!this.ended) this.#startTimer();
  }

  admits(attempt: Attempt): boolean {
    if (this.attempt !== attempt || this.ended) return false;
    if (this.#callbacks.mayRun(attempt)) return true;
    this.skipped = this.#end(false, undefined);
    this.#tellEnded();
    return false;
  }

  startHandler(attempt: Attempt): void {
    this.#isStarted = true;
    if (this.#start(attempt)) this.#tellEnded();
  }

  endAttempt(attempt: Attempt, failure: Failure | undefined): boolean {
    if (this.attempt !== attempt) return false;
    if (this.#isStarted) this.#failure ??= failure;
    if (this.ended) this.#applyFailure();
    else if (!this.#isStarted && this.#end(failure !== undefined, failure?.error)) this.#tellEnded();
    return true;
  }

  #tellEnded(): void {
    if (this.#inCall) this.endedInCall = true;
    else this.#tellEndInTurn();
  }

  #await(result: Promise<unknown>): void {
    // Also after an abort within the handler: a rejection must not be unhandled.
    result.then(this.#onResult, this.#onError);
    this.#startTimer();
  }

  #flatten(values: Observable<unknown>): void {
    // The handler may have unsubscribed.
    if (this.attempt === undefined) return;
    this.#startTimer();
    this.#values = new Sink(this);
    values.subscribe(this.#values);
  }

  #startTimer(): void {
    const { timeout } = this.#options;
    if (timeout !== undefined && this.attempt !== undefined && this.#timer === undefined)
      this.#startTimerOf(this.attempt, timeout);
  }

  #startTimerOf(attempt: Attempt, timeout: number): void {
    this.#timer = after(this.#options.scheduler, timeout, () => {
      this.#timer = undefined;
      const error = new HandlerTimeoutError(`The handler took longer than ${timeout} ms: ${nameOf(attempt.delivery)}`);
      this.abandon(error);
      this.timedOut = true;
      this.attempt = attempt;
      this.#end(true, error);
      this.#callbacks.onEnd(this);
    });
  }

  /** Ends a handler that may never have waited. It must not starve the event loop. */
  #endInTurn(failed: boolean, result: unknown): void {
    if (this.#end(failed, result)) this.#tellEndInTurn();
  }

  #tellEndInTurn(): void {
    if (this.#isVirtual) this.#callbacks.onEnd(this);
    else turn.run(this.#tellEnd);
  }

  /** Notes the end. Returns false if the handler was abandoned. */
  #end(failed: boolean, result: unknown): boolean {
    if (this.attempt === undefined) return false;
    if (this.#timer !== undefined) {
      this.#timer.unsubscribe();
      this.#timer = undefined;
    }
    this.ended = true;
    this.failed = failed;
    this.result = result;
    if (this.#failure !== undefined) this.#applyFailure();
    return true;
  }

  /** The error of an interceptor fails a handler that has succeeded. */
  #applyFailure(): void {
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure === undefined || this.failed) return;
    this.failed = true;
    this.result = failure.error;
  }
}

/** Returns the work that a handler has started; undefined if its result is a plain value. */
function workOf(result: unknown): Promise<unknown> | Observable<unknown> | undefined {
  if (typeof result !== 'object' || result === null) return undefined;
  if (isObservable(result)) return toOwnObservable(result);
  if (isThenable(result)) return Promise.resolve(result);
  return isAsyncIterable(result) ? fromAsyncIterable(result) : undefined;
}

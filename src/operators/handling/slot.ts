import type { Observable, SchedulerLike, Subscription } from 'rxjs';
import { fromAsyncIterable } from '../../bridge/from-async-iterable.js';
import { HandlerTimeoutError } from '../../errors.js';
import { after } from '../../internal/after.js';
import { isAsyncIterable } from '../../internal/is-async-iterable.js';
import { isObservable, toOwnObservable } from '../../internal/observables.js';
import { watchRejection } from '../../internal/rejection.js';
import { Sink, type SourceObserver } from '../../internal/sink.js';
import { turn } from '../../internal/turn.js';
import type { Handler } from '../handle-options.js';
import type { Attempt } from './attempt.js';
import { nameOf } from './failures.js';

/** Who a slot works for. */
export interface SlotOwner {
  /** An attempt was not started: its delivery has gone back to the queue while it waited. */
  gone(attempt: Attempt): void;
  /** A value came out of a handler that goes on. */
  emit(value: unknown): void;
  /** The handler of a slot has ended: see its `failed` and `result`. */
  ended(slot: Slot): void;
  /** The handler of a slot took too long; the slot is not to be used again, since the handler may still run. */
  timedOut(slot: Slot, attempt: Attempt, error: HandlerTimeoutError): void;
}

export interface SlotOptions {
  readonly handler: Handler;
  readonly timeout: number | undefined;
  readonly scheduler: SchedulerLike;
  /** Whether the scheduler keeps virtual time. */
  readonly virtual: boolean;
}

/** Room for one handler that runs. It is used for one after the other: what a promise calls back is made once for all of them. */
export class Slot implements SourceObserver<unknown> {
  /** What it works on; undefined while it is free, and for ever once it was abandoned. */
  attempt: Attempt | undefined;
  /** The handler has ended, and the owner has not heard of it yet. */
  over = false;
  /** Whether the handler that ended had failed. */
  failed = false;
  /** What it failed with, or what it returned, if that is to be emitted. */
  result: unknown;
  /** When the handler was started. */
  startedAt = 0;
  readonly #owner: SlotOwner;
  readonly #options: SlotOptions;
  #timer: Subscription | undefined;
  #values: Sink<unknown> | undefined;

  readonly #onValue = (value: unknown): void => this.#endInTurn(false, value);
  readonly #onError = (error: unknown): void => this.#endInTurn(true, error);
  readonly #tellOwner = (): void => {
    if (this.attempt !== undefined) this.#owner.ended(this);
  };

  constructor(owner: SlotOwner, options: SlotOptions) {
    this.#owner = owner;
    this.#options = options;
  }

  run(attempt: Attempt): void {
    this.attempt = attempt;
    this.over = false;
    watchRejection(attempt.delivery);
    let result: unknown;
    let isPromise: boolean;
    try {
      result = this.#options.handler(attempt.delivery, attempt);
      isPromise = result instanceof Promise;
    } catch (error) {
      this.#end(true, error);
      return;
    }
    if (isPromise) this.#await(result as Promise<unknown>);
    else this.#runOther(result);
  }

  /** Gives the handler up, if there is one: nothing that it does later is heard of. */
  abandon(reason: unknown): void {
    const { attempt } = this;
    this.attempt = undefined;
    this.#timer?.unsubscribe();
    // First its signal, so that it can tell an abort from an end.
    attempt?.abort(reason);
    this.#values?.unsubscribe();
  }

  take(value: unknown): void {
    if (this.attempt !== undefined) this.#owner.emit(value);
  }

  exhaust(failure?: { readonly error: unknown }): void {
    this.#values = undefined;
    this.#endInTurn(failure !== undefined, failure?.error);
  }

  /** Apart from the most frequent way: a function that is short is inlined. */
  #runOther(result: unknown): void {
    let work: Promise<unknown> | Observable<unknown> | undefined;
    try {
      work = workOf(result);
    } catch (error) {
      this.#end(true, error);
      return;
    }
    if (work === undefined) this.#end(false, result);
    else if (work instanceof Promise) this.#await(work);
    else this.#flatten(work);
  }

  #await(result: Promise<unknown>): void {
    // Also where it was abandoned: what it rejects with then is nobody's, but not unhandled either.
    result.then(this.#onValue, this.#onError);
    this.#limit();
  }

  #flatten(values: Observable<unknown>): void {
    // The handler itself may have made the subscriber leave.
    if (this.attempt === undefined) return;
    this.#limit();
    this.#values = new Sink(this);
    values.subscribe(this.#values);
  }

  /** From here on the handler may take its time. */
  #limit(): void {
    const { timeout } = this.#options;
    if (timeout !== undefined && this.attempt !== undefined) this.#limitTo(timeout, this.attempt);
  }

  #limitTo(timeout: number, attempt: Attempt): void {
    this.#timer = after(this.#options.scheduler, timeout, () => {
      const error = new HandlerTimeoutError(
        `The handler took longer than ${timeout} ms over ${nameOf(attempt.delivery)}`,
      );
      this.abandon(error);
      this.#owner.timedOut(this, attempt, error);
    });
  }

  /** The end of a handler that may never have waited for anything: it does not starve the event loop. */
  #endInTurn(failed: boolean, result: unknown): void {
    if (!this.#note(failed, result)) return;
    if (this.#options.virtual) this.#owner.ended(this);
    else turn.run(this.#tellOwner);
  }

  #end(failed: boolean, result: unknown): void {
    if (this.#note(failed, result)) this.#owner.ended(this);
  }

  #note(failed: boolean, result: unknown): boolean {
    if (this.attempt === undefined) return false;
    if (this.#timer !== undefined) {
      this.#timer.unsubscribe();
      this.#timer = undefined;
    }
    this.over = true;
    this.failed = failed;
    this.result = result;
    return true;
  }
}

/** What a handler that returned no promise goes on with; undefined when it has ended. */
function workOf(result: unknown): Promise<unknown> | Observable<unknown> | undefined {
  if (typeof result !== 'object' || result === null) return undefined;
  if (isObservable(result)) return toOwnObservable(result);
  if (isThenable(result)) return Promise.resolve(result);
  return isAsyncIterable(result) ? fromAsyncIterable(result) : undefined;
}

function isThenable(value: object): value is PromiseLike<unknown> {
  return typeof (value as Partial<PromiseLike<unknown>>).then === 'function';
}

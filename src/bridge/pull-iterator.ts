import { asyncDispose } from '../internal/async-dispose.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';

/** Says that there is no value to hand over: any other value may be one, undefined too. */
export const NOTHING: unique symbol = Symbol('nothing');

/** A `next()` that waits, and the one that waits behind it. */
interface Parked<Value> {
  readonly resolve: (result: IteratorResult<Value, unknown>) => void;
  readonly reject: (error: unknown) => void;
  behind: Parked<Value> | undefined;
}

/** Lazy: nothing is asked of the source before the first `next()`. */
const IDLE = 0;
const OPEN = 1;
const ENDED = 2;

/**
 * The async-iterator protocol, to the letter and for any number of `next()` in flight. What is iterated over is the subclass's business.
 *
 * It is no async generator, and cannot be: a generator's `return()` waits behind a pending `next()`, which is just what it has to end.
 */
export abstract class PullIterator<Value> implements AsyncIterableIterator<Value, unknown, unknown>, AsyncDisposable {
  /** The calls of `next()` that wait, in order. */
  #firstParked: Parked<Value> | undefined;
  #lastParked: Parked<Value> | undefined;
  #parked = 0;
  readonly #park = (resolve: Parked<Value>['resolve'], reject: Parked<Value>['reject']): void => {
    const parked: Parked<Value> = { resolve, reject, behind: undefined };
    if (this.#parked++ === 0) this.#firstParked = parked;
    else (this.#lastParked as Parked<Value>).behind = parked;
    this.#lastParked = parked;
  };
  readonly #signal: AbortSignal | undefined;
  #ignoreAbort: (() => void) | undefined;
  #phase: typeof IDLE | typeof OPEN | typeof ENDED = IDLE;
  /** The source has ended; what it gave before is still handed over. */
  #exhausted = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Called by the first `next()`: subscribe, connect, reserve. */
  protected abstract open(): void;

  /** The next value that can be handed over at once, or `NOTHING`. */
  protected abstract pull(): Value | typeof NOTHING;

  /** Called once, when it is over after it was opened: take nothing in any more, let go of what was never handed over. */
  protected abstract shut(): void;

  /** The consumer came back for more: it is done with what was handed over last. */
  protected doneWithLast(): void {}

  /** The consumer came back for good. Called after `shut`. */
  protected left(): void {
    this.doneWithLast();
  }

  /** The consumer left while `count` calls of `next()` were waiting. */
  protected waitCancelled(_count: number): void {}

  /** How many `next()` wait. While there are any, there is nothing to pull. */
  protected get waiting(): number {
    return this.#parked;
  }

  /** Nothing more is wanted from the source. */
  protected get over(): boolean {
    return this.#exhausted || this.#phase === ENDED;
  }

  /** Hands a value to the `next()` that has waited longest. Only while `waiting > 0`. */
  protected answer(value: Value): void {
    turn.resolve(this.#unpark().resolve, { done: false, value });
    if (this.#parked > 0) this.doneWithLast();
  }

  /** The source has ended, after an error if there is one. */
  exhaust(failure?: { readonly error: unknown }): void {
    if (this.over) return;
    this.#exhausted = true;
    this.#failure = failure;
    if (this.#parked > 0) this.#end();
  }

  next(): Promise<IteratorResult<Value, unknown>> {
    if (this.#parked === 0) {
      this.doneWithLast();
      if (this.#phase === IDLE) this.#begin();
      if (this.#phase === OPEN) {
        const value = this.pull();
        if (value !== NOTHING) return turn.value({ done: false, value });
        if (!this.#exhausted) return new Promise(this.#park);
        this.#end();
      }
      return this.#conclude();
    }
    return new Promise(this.#park);
  }

  async return(value?: unknown): Promise<IteratorResult<Value, unknown>> {
    this.#leave();
    return turn.value({ done: true, value: await value });
  }

  async throw(error?: unknown): Promise<IteratorResult<Value, unknown>> {
    this.#leave();
    return new Promise((_, reject) => turn.resolve(reject, error));
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [asyncDispose](): Promise<void> {
    await this.return();
  }

  #begin(): void {
    if (this.#signal?.aborted) {
      this.#phase = ENDED;
      return;
    }
    this.#phase = OPEN;
    this.#ignoreAbort = onAbort(this.#signal, () => {
      this.#failure = undefined;
      this.#end();
    });
    try {
      this.open();
    } catch (error) {
      this.exhaust({ error });
    }
  }

  #leave(): void {
    this.#failure = undefined;
    try {
      this.#end();
    } finally {
      this.left();
    }
  }

  /** Ends it once: the source is let go of, then every `next()` that waits is answered. */
  #end(): void {
    const wasOpen = this.#phase === OPEN;
    this.#phase = ENDED;
    if (!wasOpen) return;
    this.#ignoreAbort?.();
    this.#ignoreAbort = undefined;
    try {
      this.shut();
    } finally {
      this.#answerAll();
    }
  }

  /** Answers every call that waits: with the error of the source, once, or with `done`. */
  #answerAll(): void {
    if (this.#parked > 0 && !this.#exhausted) this.waitCancelled(this.#parked);
    while (this.#parked > 0) {
      const { resolve, reject } = this.#unpark();
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure === undefined) turn.resolve(resolve, { done: true, value: undefined });
      else turn.resolve(reject, failure.error);
    }
  }

  /** Takes out the call that has waited longest. Only while there is one. */
  #unpark(): Parked<Value> {
    const parked = this.#firstParked as Parked<Value>;
    this.#firstParked = parked.behind;
    if (--this.#parked === 0) this.#lastParked = undefined;
    return parked;
  }

  /** Answers a `next()` after the end: the error of the source once, `done` from then on. */
  #conclude(): Promise<IteratorResult<Value, unknown>> {
    const failure = this.#failure;
    if (failure === undefined) return turn.value({ done: true, value: undefined });
    this.#failure = undefined;
    return new Promise((_, reject) => turn.resolve(reject, failure.error));
  }
}

import { asyncDispose } from '../internal/async-dispose.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';

/** Stands for no value: `undefined` may be one. */
export const NOTHING: unique symbol = Symbol('nothing');

/** A waiting `next()`, and the one after it. */
interface Parked<Value> {
  readonly resolve: (result: IteratorResult<Value, unknown>) => void;
  readonly reject: (error: unknown) => void;
  behind: Parked<Value> | undefined;
}

/** Lazy: the first `next()` opens the source. */
const IDLE = 0;
const OPEN = 1;
const ENDED = 2;

/**
 * Implements the async-iterator protocol, for any number of concurrent `next()`. Subclasses supply
 * the values.
 *
 * It cannot be an async generator: `return()` of a generator waits for the pending `next()` that it
 * must end.
 */
export abstract class PullIterator<Value> implements AsyncIterableIterator<Value, unknown, unknown>, AsyncDisposable {
  /** The waiting calls of `next()`, in order. */
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
  /** The source has ended. Its earlier values are still returned. */
  #exhausted = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
  }

  /** Connects to the source. The first `next()` calls it. */
  protected abstract open(): void;

  /** Returns the next available value, or `NOTHING`. */
  protected abstract pull(): Value | typeof NOTHING;

  /**
   * Disconnects from the source, and drops values that no call has returned. Called once, if it was
   * opened.
   */
  protected abstract shut(): void;

  /** The consumer has finished the last value: it asks for the next one. */
  protected doneWithLast(): void {}

  /** The consumer leaves. Called after `shut`. */
  protected left(): void {
    this.doneWithLast();
  }

  /** The consumer left while `count` calls of `next()` waited. */
  protected waitCancelled(_count: number): void {}

  /** How many calls of `next()` wait. While there are any, `pull` has no value. */
  protected get waiting(): number {
    return this.#parked;
  }

  /** Whether it takes no more values from the source. */
  protected get over(): boolean {
    return this.#exhausted || this.#phase === ENDED;
  }

  /** Resolves the oldest waiting `next()`. Requires `waiting > 0`. */
  protected answer(value: Value): void {
    turn.resolve(this.#unpark().resolve, { done: false, value });
    if (this.#parked > 0) this.doneWithLast();
  }

  /** Ends the iteration after its values, with the error of the source if there is one. */
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

  /** Ends it once: disconnects from the source, then settles every waiting `next()`. */
  #end(): void {
    const wasOpen = this.#phase === OPEN;
    this.#phase = ENDED;
    if (!wasOpen) return;
    this.#ignoreAbort?.();
    this.#ignoreAbort = undefined;
    try {
      this.shut();
    } finally {
      this.#settleAll();
    }
  }

  /** Settles every waiting call: one with the error of the source, the others with `done`. */
  #settleAll(): void {
    if (this.#parked > 0 && !this.#exhausted) this.waitCancelled(this.#parked);
    while (this.#parked > 0) {
      const { resolve, reject } = this.#unpark();
      const failure = this.#failure;
      this.#failure = undefined;
      if (failure === undefined) turn.resolve(resolve, { done: true, value: undefined });
      else turn.resolve(reject, failure.error);
    }
  }

  /** Removes the oldest waiting call. Requires one. */
  #unpark(): Parked<Value> {
    const parked = this.#firstParked as Parked<Value>;
    this.#firstParked = parked.behind;
    if (--this.#parked === 0) this.#lastParked = undefined;
    return parked;
  }

  /**
   * Settles a `next()` after the end: the first with the error of the source, the others with
   * `done`.
   */
  #conclude(): Promise<IteratorResult<Value, unknown>> {
    const failure = this.#failure;
    if (failure === undefined) return turn.value({ done: true, value: undefined });
    this.#failure = undefined;
    return new Promise((_, reject) => turn.resolve(reject, failure.error));
  }
}

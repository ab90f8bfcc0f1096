import { asyncDispose } from '../internal/async-dispose.js';
import { BlockQueue } from '../internal/block-queue.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';

/** Stands for no value: `undefined` may be one. */
export const NOTHING: unique symbol = Symbol('nothing');

type Resolve<Value> = (result: IteratorResult<Value, unknown>) => void;
type Reject = (error: unknown) => void;

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
  /** Settle the oldest waiting call of `next()`. Undefined: none waits. */
  #resolve: Resolve<Value> | undefined;
  #reject: Reject | undefined;
  /** The same for each call behind it, in a row. Few programs have any. */
  readonly #behind = new BlockQueue<Resolve<Value> | Reject>();
  readonly #park = (resolve: Resolve<Value>, reject: Reject): void => {
    if (this.#resolve === undefined) {
      this.#resolve = resolve;
      this.#reject = reject;
    } else {
      this.#behind.push(resolve);
      this.#behind.push(reject);
    }
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

  /** Whether a call of `next()` waits. Then `pull` has no value. */
  protected get awaited(): boolean {
    return this.#resolve !== undefined;
  }

  /** How many calls of `next()` wait. */
  protected get waiting(): number {
    return this.#resolve === undefined ? 0 : 1 + this.#behind.length / 2;
  }

  /** Whether it takes no more values from the source. */
  protected get over(): boolean {
    return this.#exhausted || this.#phase === ENDED;
  }

  /** Resolves the oldest waiting `next()`. Only while `awaited`. */
  protected answer(value: Value): void {
    turn.resolve(this.#unpark(), { done: false, value });
    if (this.#resolve !== undefined) this.doneWithLast();
  }

  /** Ends the iteration after its values, with the error of the source if there is one. */
  exhaust(failure?: { readonly error: unknown }): void {
    if (this.over) return;
    this.#exhausted = true;
    this.#failure = failure;
    if (this.#resolve !== undefined) this.#end();
  }

  next(): Promise<IteratorResult<Value, unknown>> {
    if (this.#resolve === undefined) {
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
    if (this.#resolve !== undefined && !this.#exhausted) this.waitCancelled(this.waiting);
    while (this.#resolve !== undefined) {
      const failure = this.#failure;
      this.#failure = undefined;
      const reject = this.#reject as Reject;
      const resolve = this.#unpark();
      if (failure === undefined) turn.resolve(resolve, { done: true, value: undefined });
      else turn.resolve(reject, failure.error);
    }
  }

  /** Removes the oldest waiting call, and returns what resolves it. Requires one. */
  #unpark(): Resolve<Value> {
    const oldest = this.#resolve as Resolve<Value>;
    if (this.#behind.length === 0) this.#resolve = this.#reject = undefined;
    else {
      this.#resolve = this.#behind.shift() as Resolve<Value>;
      this.#reject = this.#behind.shift() as Reject;
    }
    return oldest;
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

import type { ObservableInput } from 'rxjs';
import { BlockQueue } from '../internal/block-queue.js';
import { checkCount, checkOptions, checkSignal } from '../internal/options.js';
import { NOTHING } from './pull-iterator.js';
import { SourceIterator } from './source-iterator.js';

export interface ToAsyncBatchesOptions {
  /** The most values of one batch, an integer >= 1. Default: Infinity. */
  readonly maxSize?: number | undefined;
  /** Ends the iteration without an error, like `return()`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Converts an Observable to an AsyncIterable of batches. Each batch holds all values since the last
 * one, in order, and is never empty.
 *
 * *When to use*: if values arrive in bursts, or faster than a loop can request them one by one.
 * Values that arrive in one turn are in one batch.
 *
 * *Gotchas*: values that arrive while the loop is busy are buffered without a bound.
 *
 * @example
 * ```ts
 * for await (const rows of toAsyncBatches(rows$, { maxSize: 500 })) await database.insert(rows);
 * ```
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 */
export function toAsyncBatches<Value>(
  source: ObservableInput<Value>,
  options?: ToAsyncBatchesOptions,
): AsyncIterableIterator<Value[]> & AsyncDisposable {
  const { maxSize = Number.POSITIVE_INFINITY, signal } = checkOptions(options);
  return new BatchIterator(source, checkCount('maxSize', maxSize, { infinity: true }), checkSignal('signal', signal));
}

class BatchIterator<Value> extends SourceIterator<Value, Value[]> {
  readonly #maxSize: number;
  /** Batches that no call has returned. All but the last one are full. */
  #batches = new BlockQueue<Value[]>();
  /**
   * The batch that gets the next values: the last buffered one, or the one that resolved a waiting
   * `next()` in this turn, whose consumer has not run yet.
   */
  #filling: Value[] | undefined;

  constructor(source: ObservableInput<Value>, maxSize: number, signal: AbortSignal | undefined) {
    super(source, signal);
    this.#maxSize = maxSize;
  }

  protected override pull(): Value[] | typeof NOTHING {
    if (this.#batches.length === 0) return NOTHING;
    if (this.#batches.length === 1) this.#filling = undefined;
    return this.#batches.shift();
  }

  override take(value: Value): void {
    if (this.#filling !== undefined && this.#filling.length < this.#maxSize) this.#filling.push(value);
    else this.#startBatch(value);
  }

  protected override discard(): void {
    this.#batches = new BlockQueue();
    this.#filling = undefined;
  }

  /** Separate from `take`, where the closure would slow down every value. */
  #startBatch(value: Value): void {
    const batch = [value];
    this.#filling = batch;
    if (!this.awaited) {
      this.#batches.push(batch);
      return;
    }
    // Scheduled before `next()` resolves, so it runs before the consumer, which owns the batch from
    // then on.
    void Promise.resolve().then(() => {
      if (this.#filling === batch) this.#filling = undefined;
    });
    this.answer(batch);
  }
}

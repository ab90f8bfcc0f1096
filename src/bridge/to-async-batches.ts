import type { ObservableInput } from 'rxjs';
import { BlockQueue } from '../internal/block-queue.js';
import { checkCount, checkOptions, checkSignal } from '../internal/options.js';
import { NOTHING } from './pull-iterator.js';
import { SourceIterator } from './source-iterator.js';

export interface ToAsyncBatchesOptions {
  /** The most values of one batch, a whole number from 1 up. Default: Infinity. */
  readonly maxSize?: number | undefined;
  /** Ends the iteration, without an error, like `return()`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * An Observable as an AsyncIterable of batches: each holds all that came since the last one, in order, and is never empty.
 *
 * *When to use*: when values come in bursts, or faster than a loop can ask for them one by one. What comes in one turn comes in one batch.
 *
 * *Gotchas*: what comes while the loop is busy is buffered without a bound.
 *
 * @example
 * ```ts
 * for await (const rows of toAsyncBatches(rows$, { maxSize: 500 })) await database.insert(rows);
 * ```
 * @throws {TypeError | RangeError} for an option without sense
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
  /** Batches that nobody has asked for yet; all but the last one are full. */
  #batches = new BlockQueue<Value[]>();
  /**
   * The batch that values still go into: the last of those kept, or the one that a waiting `next()` was answered with in this very turn, whose
   * consumer has not run yet.
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

  /** Apart from `take`, where the closure would cost every value. */
  #startBatch(value: Value): void {
    const batch = [value];
    this.#filling = batch;
    if (this.waiting === 0) {
      this.#batches.push(batch);
      return;
    }
    // Before the answer, so that it runs before the consumer does, which owns the batch from then on.
    void Promise.resolve().then(() => {
      if (this.#filling === batch) this.#filling = undefined;
    });
    this.answer(batch);
  }
}

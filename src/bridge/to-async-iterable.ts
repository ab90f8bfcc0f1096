import type { ObservableInput } from 'rxjs';
import { QueueOverflowError } from '../errors.js';
import { BlockQueue } from '../internal/block-queue.js';
import { checkChoice, checkCount, checkOptions, checkSignal } from '../internal/options.js';
import { NOTHING } from './pull-iterator.js';
import { SourceIterator } from './source-iterator.js';

const POLICIES = ['buffer', 'error', 'drop-oldest', 'drop-newest'] as const;

/** What happens to values that arrive before the loop requests them. */
export type BridgeOverflow = (typeof POLICIES)[number];

export interface ToAsyncIterableOptions {
  /**
   * `'buffer'`: buffers all values, without a bound. `'error'`: ends with a `QueueOverflowError`
   * after the buffered values when the buffer overflows. `'drop-oldest'`, `'drop-newest'`: drops
   * values. With a capacity of 1, these keep the latest or the first value. Default: `'buffer'`.
   */
  readonly overflow?: BridgeOverflow | undefined;
  /**
   * The size of the buffer, an integer >= 1. Required for every policy but `'buffer'`, which is
   * unbounded.
   */
  readonly capacity?: number | undefined;
  /** Ends the iteration without an error, like `return()`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Converts an Observable to an AsyncIterable, one value at a time.
 *
 * Subscribes on the first `next()`. Unsubscribes when the loop leaves, on `return()` and on an
 * abort, also while a `next()` is pending. Values are returned before an error that follows them.
 *
 * *Gotchas*: an Observable cannot be slowed down. By default, values that arrive while the loop is
 * busy are buffered without a bound. Bound the buffer with `overflow` and `capacity`, or take all
 * values at once with `toAsyncBatches`.
 *
 * @example
 * ```ts
 * for await (const tick of toAsyncIterable(interval(1000).pipe(take(3)))) console.log(tick);
 * // 0, 1, 2
 * ```
 * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
 */
export function toAsyncIterable<Value>(
  source: ObservableInput<Value>,
  options?: ToAsyncIterableOptions,
): AsyncIterableIterator<Value> & AsyncDisposable {
  const { overflow = 'buffer', capacity, signal } = checkOptions(options);
  const unbounded = checkChoice('overflow', overflow, POLICIES) === 'buffer';
  if (unbounded && capacity !== undefined && capacity !== Number.POSITIVE_INFINITY) {
    throw new TypeError(
      "Expected no `capacity` with the overflow policy 'buffer', which is unbounded: choose another `overflow`",
    );
  }
  const bound = unbounded ? Number.POSITIVE_INFINITY : checkCount('capacity', capacity);
  return new ObservableIterator(source, overflow, bound, checkSignal('signal', signal));
}

class ObservableIterator<Value> extends SourceIterator<Value, Value> {
  readonly #overflow: BridgeOverflow;
  readonly #capacity: number;
  #buffer = new BlockQueue<Value>();

  constructor(
    source: ObservableInput<Value>,
    overflow: BridgeOverflow,
    capacity: number,
    signal: AbortSignal | undefined,
  ) {
    super(source, signal);
    this.#overflow = overflow;
    this.#capacity = capacity;
  }

  protected override pull(): Value | typeof NOTHING {
    return this.#buffer.length > 0 ? this.#buffer.shift() : NOTHING;
  }

  override take(value: Value): void {
    if (this.awaited) this.answer(value);
    else if (this.#buffer.length < this.#capacity) this.#buffer.push(value);
    else this.#overrun(value);
  }

  protected override discard(): void {
    this.#buffer = new BlockQueue();
  }

  #overrun(value: Value): void {
    if (this.#overflow === 'error') {
      this.exhaust({
        error: new QueueOverflowError(
          `The buffer of ${this.#capacity} values overflowed before the loop requested one`,
        ),
      });
      this.unsubscribe();
    } else if (this.#overflow === 'drop-oldest') {
      this.#buffer.shift();
      this.#buffer.push(value);
    }
  }
}

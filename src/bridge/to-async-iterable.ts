import type { ObservableInput } from 'rxjs';
import { QueueOverflowError } from '../errors.js';
import { BlockQueue } from '../internal/block-queue.js';
import { checkChoice, checkCount, checkOptions, checkSignal } from '../internal/options.js';
import { NOTHING } from './pull-iterator.js';
import { SourceIterator } from './source-iterator.js';

const POLICIES = ['buffer', 'error', 'drop-oldest', 'drop-newest'] as const;

/** What becomes of values that nobody has asked for yet. */
export type BridgeOverflow = (typeof POLICIES)[number];

export interface ToAsyncIterableOptions {
  /**
   * `'buffer'`: keep all, without a bound, lossless. `'error'`: end with a `QueueOverflowError` when a value comes that `capacity` has no room for,
   * after what was kept. `'drop-oldest'`, `'drop-newest'`: lossy; with a capacity of 1 the latest, the first. Default: `'buffer'`.
   */
  readonly overflow?: BridgeOverflow | undefined;
  /** How many values are kept, a whole number from 1 up: for every policy but `'buffer'`, which has no bound. */
  readonly capacity?: number | undefined;
  /** Ends the iteration, without an error, like `return()`. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * An Observable as an AsyncIterable, one value at a time.
 *
 * It subscribes on the first `next()` and unsubscribes when the loop leaves, on `return()` and on an abort, also while a `next()` is pending. Values
 * that came before an error come before it.
 *
 * *Gotchas*: an Observable cannot be slowed down. What comes while the loop is busy is buffered, with the default without a bound: bound it with
 * `overflow` and `capacity`, or take all that came at once with `toAsyncBatches`.
 *
 * @example
 * ```ts
 * for await (const tick of toAsyncIterable(interval(1000).pipe(take(3)))) console.log(tick);
 * // 0, 1, 2
 * ```
 * @throws {TypeError | RangeError} for an option without sense
 */
export function toAsyncIterable<Value>(
  source: ObservableInput<Value>,
  options?: ToAsyncIterableOptions,
): AsyncIterableIterator<Value> & AsyncDisposable {
  const { overflow = 'buffer', capacity, signal } = checkOptions(options);
  const unbounded = checkChoice('overflow', overflow, POLICIES) === 'buffer';
  if (unbounded && capacity !== undefined && capacity !== Number.POSITIVE_INFINITY) {
    throw new TypeError(
      "Expected no `capacity` beside the overflow policy 'buffer', which keeps all: choose another `overflow`",
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
    if (this.waiting > 0) this.answer(value);
    else if (this.#buffer.length < this.#capacity) this.#buffer.push(value);
    else this.#overrun(value);
  }

  protected override discard(): void {
    this.#buffer = new BlockQueue();
  }

  #overrun(value: Value): void {
    if (this.#overflow === 'error') {
      this.exhaust({
        error: new QueueOverflowError(`More than ${this.#capacity} values came while nobody asked for one`),
      });
      this.unsubscribe();
    } else if (this.#overflow === 'drop-oldest') {
      this.#buffer.shift();
      this.#buffer.push(value);
    }
  }
}

import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import type { Delivery, DeliveryStream } from '../backend.js';
import { forHandler, hasForHandler, offerForHandler } from './for-handler.js';

/** The streams of this library have a method of this name. Both builds in one process share it. */
const WITH_CREDIT = Symbol.for('sluice.v0.with-credit');

/** A stream whose backend obeys a changing credit. */
interface CreditStream {
  [WITH_CREDIT]: (credit: Credit) => Observable<Delivery> | undefined;
}

/**
 * Tells a backend how many deliveries a subscriber may have in flight. An operator sets it while it
 * runs. It is not part of the contract: other backends deliver by the `prefetch` of the stream.
 *
 * A backend calls `obey` once, reads `limit` and `paused`, and calls `quiet` when it has paused.
 */
export class Credit {
  #limit: number;
  #most = Number.POSITIVE_INFINITY;
  #paused = false;
  #onChange = (): void => {};
  #onQuiet: (() => void) | undefined;
  /** Whether the backend is quiet, and how many interceptors still have deliveries to pass on. */
  #isQuiet = false;
  #holders = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * How many deliveries the subscriber may have in flight. If it has more, it gets no message until
   * it has settled enough.
   */
  get limit(): number {
    return Math.min(this.#limit, this.#most);
  }

  /** Whether the backend must not request messages. Requested messages still arrive. */
  get paused(): boolean {
    return this.#paused;
  }

  allow(limit: number): void {
    const before = this.limit;
    this.#limit = limit;
    if (this.limit !== before) this.#onChange();
  }

  /** Caps the limit, whatever `allow` sets, until the next call. */
  narrow(most: number): void {
    const before = this.limit;
    this.#most = most;
    if (this.limit !== before) this.#onChange();
  }

  /** Pauses until `resume`. Calls back once, when no requested message can arrive. */
  pause(onQuiet: () => void): void {
    this.#onQuiet = onQuiet;
    this.#isQuiet = false;
    this.#paused = true;
    this.#onChange();
  }

  resume(): void {
    this.#onQuiet = undefined;
    this.#paused = false;
    this.#onChange();
  }

  /**
   * Registers the backend, which is called when the limit changes, or the subscriber pauses or
   * resumes.
   */
  obey(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /** The backend reports that no requested message can arrive while it is paused. */
  quiet(): void {
    this.#isQuiet = true;
    this.#tellQuiet();
  }

  /** Requested messages that have arrived wait for an interceptor, until `letGo`. */
  hold(): void {
    this.#holders++;
  }

  letGo(): void {
    this.#holders--;
    this.#tellQuiet();
  }

  #tellQuiet(): void {
    if (!this.#isQuiet || this.#holders > 0) return;
    const onQuiet = this.#onQuiet;
    this.#onQuiet = undefined;
    onQuiet?.();
  }
}

/**
 * Returns the stream with a credit instead of its `prefetch`. Undefined if the backend, or an
 * operator in between, does not support credit.
 */
export function withCredit(stream: Observable<Delivery>, credit: Credit): Observable<Delivery> | undefined {
  return (stream as Partial<CreditStream>)[WITH_CREDIT]?.(credit);
}

/** Whether a stream may obey credit. */
export function hasCredit(stream: Observable<Delivery>): boolean {
  return WITH_CREDIT in stream;
}

/** Makes a stream obey credit, by a function that connects with one. */
export function obeyCredit(stream: Observable<Delivery>, connect: (credit: Credit) => Observable<Delivery>): void {
  (stream as Partial<CreditStream>)[WITH_CREDIT] = connect;
}

/**
 * Applies an operator that settles the deliveries that it drops. The output keeps the `prefetch`
 * and the credit of the stream, and its stream for handlers.
 */
export function keepCredit(
  stream: Observable<Delivery>,
  operator: MonoTypeOperatorFunction<Delivery>,
): Observable<Delivery> {
  const output: Observable<Delivery> & Partial<CreditStream> & { prefetch?: number } = operator(stream);
  const { prefetch } = stream as Partial<DeliveryStream>;
  if (prefetch !== undefined) output.prefetch = prefetch;
  output[WITH_CREDIT] = (credit) => {
    const obedient = withCredit(stream, credit);
    return obedient && operator(obedient);
  };
  if (hasForHandler(stream)) offerForHandler(output, () => keepCredit(forHandler(stream), operator));
  return output;
}

import type { MonoTypeOperatorFunction, Observable } from 'rxjs';
import type { Delivery, DeliveryStream } from '../backend.js';

/** The streams of this library have a method of this name, also those of its other build in the same process. */
const WITH_CREDIT = Symbol.for('sluice.v0.with-credit');

/** A stream whose backend obeys a credit that changes. */
interface CreditStream {
  [WITH_CREDIT]: (credit: Credit) => Observable<Delivery> | undefined;
}

/**
 * How many unsettled deliveries a subscriber may hold: the channel from an operator, which sets it while it runs, to the backend, which obeys it. Not part of
 * the contract: a backend that does not know it delivers by the stream's `prefetch`.
 *
 * A backend calls `obey` once, reads `limit` and `paused`, and calls `quiet` when it has paused.
 */
export class Credit {
  #limit: number;
  #most = Number.POSITIVE_INFINITY;
  #paused = false;
  #onChange = (): void => {};
  #onQuiet: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many unsettled deliveries the subscriber may hold. Where that is less than it holds, no more comes until it has settled enough. */
  get limit(): number {
    return Math.min(this.#limit, this.#most);
  }

  /** Whether nothing more may be asked for. What is on its way still comes. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Allows the subscriber to hold so many. */
  allow(limit: number): void {
    const before = this.limit;
    this.#limit = limit;
    if (this.limit !== before) this.#onChange();
  }

  /** Allows the subscriber to hold no more than that, however many are allowed, until it is called again. */
  narrow(most: number): void {
    const before = this.limit;
    this.#most = most;
    if (this.limit !== before) this.#onChange();
  }

  /** Asks for no more, until `resume` is called. Calls back once, when nothing is on its way any more. */
  pause(onQuiet: () => void): void {
    this.#onQuiet = onQuiet;
    this.#paused = true;
    this.#onChange();
  }

  resume(): void {
    this.#onQuiet = undefined;
    this.#paused = false;
    this.#onChange();
  }

  /** Calls the backend back when the limit has changed, or the subscriber pauses or resumes. */
  obey(onChange: () => void): void {
    this.#onChange = onChange;
  }

  /** The backend says that nothing is on its way while it is paused. */
  quiet(): void {
    const onQuiet = this.#onQuiet;
    this.#onQuiet = undefined;
    onQuiet?.();
  }
}

/** A stream that obeys a credit, instead of its `prefetch`; undefined where the backend, or an operator in between, does not know of credits. */
export function withCredit(stream: Observable<Delivery>, credit: Credit): Observable<Delivery> | undefined {
  return (stream as Partial<CreditStream>)[WITH_CREDIT]?.(credit);
}

/** Makes a stream one that obeys credits, by a function that connects with one. */
export function obeyCredit(stream: Observable<Delivery>, connect: (credit: Credit) => Observable<Delivery>): void {
  (stream as Partial<CreditStream>)[WITH_CREDIT] = connect;
}

/** Applies an operator that settles what it drops. Its output keeps the `prefetch` of the stream and obeys a credit as the stream does. */
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
  return output;
}

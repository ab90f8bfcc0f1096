import { type Observable, Subject, takeUntil } from 'rxjs';
import type { Delivery } from '../backend.js';

/** The payload that most cases send. */
interface Numbered {
  readonly n: number;
}

export function numberOf(payload: object | undefined): number {
  return (payload as Numbered).n;
}

/** What a taker does with a delivery, when it comes. */
export type OnDelivery = (delivery: Delivery, taker: Taker) => unknown;

/** A subscriber to deliveries that keeps all that it gets. It settles nothing unless it is told to. */
export class Taker {
  /** All that came, in order. */
  readonly deliveries: Delivery[] = [];
  /** The stream has completed by itself. */
  completed = false;
  /** What went wrong: an error of the stream, or of what the taker does with a delivery. */
  failure: { readonly error: unknown } | undefined;
  /** The most deliveries that were out at one time. */
  mostOut = 0;
  readonly #out = new Set<Delivery>();
  readonly #left = new Subject<void>();
  readonly #onDelivery: OnDelivery;
  #gone = false;

  constructor(onDelivery: OnDelivery = () => {}) {
    this.#onDelivery = onDelivery;
  }

  /** Subscribes. */
  join(deliveries: Observable<Delivery>): void {
    deliveries.pipe(takeUntil(this.#left)).subscribe({
      next: (delivery) => this.#take(delivery),
      error: (error: unknown) => this.#fail(error),
      complete: () => {
        this.completed = !this.#gone;
      },
    });
  }

  /** It has left. */
  get gone(): boolean {
    return this.#gone;
  }

  /** The numbers that came, in order. */
  get numbers(): number[] {
    return this.deliveries.map(({ payload }) => numberOf(payload));
  }

  /** What is out, in order. */
  get held(): Delivery[] {
    return this.deliveries.filter(({ settled }) => settled === false);
  }

  /** The latest delivery of a number. */
  of(n: number): Delivery {
    const delivery = this.deliveries.findLast(({ payload }) => numberOf(payload) === n);
    if (delivery === undefined) throw new Error(`${n} was never delivered`);
    return delivery;
  }

  /** Unsubscribes, also from inside its own `next`. */
  leave(): void {
    this.#gone = true;
    this.#left.next();
  }

  #take(delivery: Delivery): void {
    this.deliveries.push(delivery);
    for (const other of this.#out) if (other.settled !== false) this.#out.delete(other);
    this.#out.add(delivery);
    this.mostOut = Math.max(this.mostOut, this.#out.size);
    try {
      Promise.resolve(this.#onDelivery(delivery, this)).catch((error: unknown) => this.#fail(error));
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    this.failure ??= { error };
  }
}

/** Settles each delivery by an acknowledgement as soon as it comes. */
export const acking: OnDelivery = (delivery) => delivery.ack();

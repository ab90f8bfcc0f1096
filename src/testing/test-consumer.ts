import { type Observable, Subject, takeUntil } from 'rxjs';
import type { Delivery } from '../backend.js';

/** The payload of most cases. */
interface Numbered {
  readonly n: number;
}

export function numberOf(payload: object | undefined): number {
  return (payload as Numbered).n;
}

/** Handles a delivery. */
export type OnDelivery = (delivery: Delivery, consumer: TestConsumer) => unknown;

/** Subscribes to deliveries and records them. Settles nothing by itself. */
export class TestConsumer {
  /** All deliveries, in order. */
  readonly deliveries: Delivery[] = [];
  /** Whether the stream completed before `unsubscribe()`. */
  completed = false;
  /** The first error of the stream or of the callback. */
  failure: { readonly error: unknown } | undefined;
  /** The highest number of deliveries in flight at one time. */
  mostInFlight = 0;
  readonly #unsettled = new Set<Delivery>();
  readonly #unsubscribed = new Subject<void>();
  readonly #onDelivery: OnDelivery;
  #isUnsubscribed = false;

  constructor(onDelivery: OnDelivery = () => {}) {
    this.#onDelivery = onDelivery;
  }

  subscribe(deliveries: Observable<Delivery>): void {
    deliveries.pipe(takeUntil(this.#unsubscribed)).subscribe({
      next: (delivery) => this.#record(delivery),
      error: (error: unknown) => this.#fail(error),
      complete: () => {
        this.completed = !this.#isUnsubscribed;
      },
    });
  }

  get unsubscribed(): boolean {
    return this.#isUnsubscribed;
  }

  /** The numbers of all deliveries, in order. */
  get numbers(): number[] {
    return this.deliveries.map(({ payload }) => numberOf(payload));
  }

  /** The unsettled deliveries, in order. */
  get inFlight(): Delivery[] {
    return this.deliveries.filter(({ settled }) => settled === false);
  }

  /** Returns the latest delivery of a number. */
  of(n: number): Delivery {
    const delivery = this.deliveries.findLast(({ payload }) => numberOf(payload) === n);
    if (delivery === undefined) throw new Error(`${n} was never delivered`);
    return delivery;
  }

  /** Unsubscribes. May be called inside the consumer's own callback. */
  unsubscribe(): void {
    this.#isUnsubscribed = true;
    this.#unsubscribed.next();
  }

  #record(delivery: Delivery): void {
    this.deliveries.push(delivery);
    for (const other of this.#unsettled) if (other.settled !== false) this.#unsettled.delete(other);
    this.#unsettled.add(delivery);
    this.mostInFlight = Math.max(this.mostInFlight, this.#unsettled.size);
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

/** Acks each delivery at once. */
export const acking: OnDelivery = (delivery) => delivery.ack();

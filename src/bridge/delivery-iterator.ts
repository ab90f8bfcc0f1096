import type { Observable, Subscription } from 'rxjs';
import type { Delivery } from '../backend.js';
import { unawaited } from '../internal/answers.js';
import { BlockQueue } from '../internal/block-queue.js';
import { NOTHING, PullIterator } from './pull-iterator.js';

export interface DeliveryIteration<Item> {
  /** The deliveries, with their intake under the control of a signal. */
  readonly connect: (intake: AbortSignal) => Observable<Delivery>;
  /** The loop was left while `count` of its calls waited. */
  readonly waitCancelled: (count: number) => void;
  /** What the loop's body gets of a delivery. */
  readonly unwrap: (delivery: Delivery) => Item;
  /** What becomes of the delivery in the body's hands when the loop leaves. */
  readonly onLeave: 'ack' | 'give back';
  readonly signal: AbortSignal | undefined;
}

/**
 * Deliveries, one after the other, settled for the body of the loop: what it did not settle is acknowledged when it comes back for the next one.
 *
 * What was prefetched and never seen is released when the loop ends. An abort ends the intake and lets the body finish.
 */
export class DeliveryIterator<Item> extends PullIterator<Item> {
  readonly #iteration: DeliveryIteration<Item>;
  readonly #intake = new AbortController();
  readonly #unseen = new BlockQueue<Delivery>();
  #last: Delivery | undefined;
  #subscription: Subscription | undefined;

  constructor(iteration: DeliveryIteration<Item>) {
    super(iteration.signal);
    this.#iteration = iteration;
  }

  protected override open(): void {
    this.#subscription = this.#iteration.connect(this.#intake.signal).subscribe({
      next: (delivery) => this.#take(delivery),
      error: (error: unknown) => this.#sourceEnded({ error }),
      complete: () => this.#sourceEnded(),
    });
  }

  protected override pull(): Item | typeof NOTHING {
    return this.#unseen.length > 0 ? this.#handOver(this.#unseen.shift()) : NOTHING;
  }

  protected override doneWithLast(): void {
    const last = this.#last;
    this.#last = undefined;
    if (last !== undefined && !last.settled) unawaited(last.ack());
  }

  protected override left(): void {
    if (this.#iteration.onLeave === 'ack') this.doneWithLast();
    else this.#last = undefined;
    this.#subscription?.unsubscribe();
  }

  protected override shut(): void {
    this.#intake.abort();
    this.#releaseUnseen();
  }

  protected override waitCancelled(count: number): void {
    this.#iteration.waitCancelled(count);
  }

  /** A broker's stream ends while messages are out, when the queue is closed: what the loop has not seen goes back untouched. */
  #sourceEnded(failure?: { readonly error: unknown }): void {
    this.#releaseUnseen();
    this.exhaust(failure);
  }

  #releaseUnseen(): void {
    while (this.#unseen.length > 0) unawaited(this.#unseen.shift().release());
  }

  #take(delivery: Delivery): void {
    if (this.over) unawaited(delivery.release());
    else if (this.waiting > 0) this.answer(this.#handOver(delivery));
    else this.#unseen.push(delivery);
  }

  #handOver(delivery: Delivery): Item {
    this.#last = delivery;
    return this.#iteration.unwrap(delivery);
  }
}

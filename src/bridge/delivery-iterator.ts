import type { Observable, Subscription } from 'rxjs';
import type { Delivery } from '../backend.js';
import { unawaited } from '../internal/answers.js';
import { BlockQueue } from '../internal/block-queue.js';
import { Sink } from '../internal/sink.js';
import { NOTHING, PullIterator } from './pull-iterator.js';

export interface DeliveryIteration<Item> {
  /** Connects to the deliveries. The signal ends their intake. */
  readonly connect: (intake: AbortSignal) => Observable<Delivery>;
  /** The loop left while `count` of its calls waited. */
  readonly waitCancelled: (count: number) => void;
  /** Returns what the body of the loop gets for a delivery. */
  readonly unwrap: (delivery: Delivery) => Item;
  /** What happens to the last delivery when the loop leaves. */
  readonly onLeave: 'ack' | 'requeue';
  readonly signal: AbortSignal | undefined;
}

/**
 * Iterates over deliveries. When the body asks for the next one, an unsettled delivery is
 * acknowledged.
 *
 * When the loop ends, it releases prefetched deliveries. An abort ends the intake; the body can
 * finish.
 */
export class DeliveryIterator<Item> extends PullIterator<Item> {
  readonly #iteration: DeliveryIteration<Item>;
  readonly #intake = new AbortController();
  readonly #prefetched = new BlockQueue<Delivery>();
  #last: Delivery | undefined;
  #subscription: Subscription | undefined;

  constructor(iteration: DeliveryIteration<Item>) {
    super(iteration.signal);
    this.#iteration = iteration;
  }

  protected override open(): void {
    const observer = {
      take: (delivery: Delivery) => this.#take(delivery),
      exhaust: (failure?: { readonly error: unknown }) => this.#sourceEnded(failure),
    };
    const sink = new Sink<Delivery>(observer, false, true);
    this.#subscription = sink;
    this.#iteration.connect(this.#intake.signal).subscribe(sink);
  }

  protected override pull(): Item | typeof NOTHING {
    return this.#prefetched.length > 0 ? this.#handOver(this.#prefetched.shift()) : NOTHING;
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
    this.#releasePrefetched();
  }

  protected override waitCancelled(count: number): void {
    this.#iteration.waitCancelled(count);
  }

  /**
   * The stream of a closed queue ends while messages are in flight: prefetched ones are released.
   */
  #sourceEnded(failure?: { readonly error: unknown }): void {
    this.#releasePrefetched();
    this.exhaust(failure);
  }

  #releasePrefetched(): void {
    while (this.#prefetched.length > 0) unawaited(this.#prefetched.shift().release());
  }

  #take(delivery: Delivery): void {
    if (this.over) unawaited(delivery.release());
    else if (this.awaited) this.answer(this.#handOver(delivery));
    else this.#prefetched.push(delivery);
  }

  #handOver(delivery: Delivery): Item {
    this.#last = delivery;
    return this.#iteration.unwrap(delivery);
  }
}

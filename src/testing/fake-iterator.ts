import type { Observable, Subscription } from 'rxjs';
import type { Delivery } from '../backend.js';

const END = { done: true, value: undefined } as const;

/** How a loop goes over deliveries. */
export interface FakeIteration<Item> {
  /** The deliveries, with their intake under the control of a signal. */
  readonly connect: (intake: AbortSignal) => Observable<Delivery>;
  readonly unwrap: (delivery: Delivery) => Item;
  /** What the body has in its hands is done when the loop leaves, rather than given back. */
  readonly doneOnLeave: boolean;
  readonly signal: AbortSignal | undefined;
}

/**
 * Deliveries one after the other, each settled when the loop comes back: the loops over a fake queue.
 *
 * An abort lets the body finish, then the loop ends. What the body never saw is released when the loop ends, however it does.
 */
export class FakeIterator<Item> implements AsyncIterableIterator<Item, unknown, unknown>, AsyncDisposable {
  readonly #iteration: FakeIteration<Item>;
  readonly #intake = new AbortController();
  readonly #unseen: Delivery[] = [];
  readonly #parked: ((result: IteratorResult<Item, unknown>) => void)[] = [];
  #subscription: Subscription | undefined;
  #last: Delivery | undefined;
  #over = false;

  constructor(iteration: FakeIteration<Item>) {
    this.#iteration = iteration;
  }

  async next(): Promise<IteratorResult<Item, unknown>> {
    if (this.#parked.length === 0) this.#doneWithLast();
    const answer = new Promise<IteratorResult<Item, unknown>>((resolve) => this.#parked.push(resolve));
    if (!this.#over) this.#subscription ??= this.#open();
    this.#answer();
    return answer;
  }

  async return(value?: unknown): Promise<IteratorResult<Item, unknown>> {
    // Before anything is settled: the credit of it would bring the next one.
    this.#intake.abort();
    if (this.#iteration.doneOnLeave) this.#doneWithLast();
    this.#end();
    this.#subscription?.unsubscribe();
    return { done: true, value };
  }

  async throw(error?: unknown): Promise<IteratorResult<Item, unknown>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #open(): Subscription | undefined {
    const { signal, connect } = this.#iteration;
    if (signal?.aborted) {
      this.#end();
      return undefined;
    }
    signal?.addEventListener('abort', this.#end);
    return connect(this.#intake.signal).subscribe({ next: (delivery) => this.#take(delivery), complete: this.#end });
  }

  #take(delivery: Delivery): void {
    this.#unseen.push(delivery);
    this.#answer();
  }

  /** Hands out nothing more. What the body has in its hands stays there. */
  readonly #end = (): void => {
    this.#over = true;
    this.#iteration.signal?.removeEventListener('abort', this.#end);
    this.#intake.abort();
    for (const delivery of this.#unseen.splice(0)) void delivery.release();
    this.#answer();
  };

  #doneWithLast(): void {
    const last = this.#last;
    this.#last = undefined;
    if (last?.settled === false) void last.ack();
  }

  /** Answers the calls that wait, as far as there is something to answer. */
  #answer(): void {
    while (this.#parked.length > 0) {
      const delivery = this.#unseen.shift();
      if (delivery === undefined && !this.#over) return;
      this.#parked.shift()?.(delivery === undefined ? END : { done: false, value: this.#handOver(delivery) });
      if (this.#parked.length > 0) this.#doneWithLast();
    }
  }

  #handOver(delivery: Delivery): Item {
    this.#last = delivery;
    return this.#iteration.unwrap(delivery);
  }
}

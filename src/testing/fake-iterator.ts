import type { Observable, Subscription } from 'rxjs';
import type { Delivery } from '../backend.js';

const END = { done: true, value: undefined } as const;

/** Deliveries one after the other, each settled when the loop comes back: the loops over a fake queue. */
export class FakeIterator<Item> implements AsyncIterableIterator<Item, unknown, unknown>, AsyncDisposable {
  readonly #connect: (intake: AbortSignal) => Observable<Delivery>;
  readonly #intake = new AbortController();
  readonly #unwrap: (delivery: Delivery) => Item;
  /** What the body has in its hands is done when the loop leaves, rather than given back. */
  readonly #doneOnLeave: boolean;
  readonly #unseen: Delivery[] = [];
  readonly #parked: ((result: IteratorResult<Item, unknown>) => void)[] = [];
  #subscription: Subscription | undefined;
  #last: Delivery | undefined;
  #over = false;

  constructor(connect: (intake: AbortSignal) => Observable<Delivery>, unwrap: (delivery: Delivery) => Item, doneOnLeave: boolean) {
    this.#connect = connect;
    this.#unwrap = unwrap;
    this.#doneOnLeave = doneOnLeave;
  }

  async next(): Promise<IteratorResult<Item, unknown>> {
    if (this.#parked.length === 0) this.#doneWithLast();
    const answer = new Promise<IteratorResult<Item, unknown>>((resolve) => this.#parked.push(resolve));
    this.#subscription ??= this.#over
      ? undefined
      : this.#connect(this.#intake.signal).subscribe({ next: (delivery) => this.#take(delivery), complete: () => this.#end() });
    this.#answer();
    return answer;
  }

  async return(value?: unknown): Promise<IteratorResult<Item, unknown>> {
    // Before anything is settled: the credit of it would bring the next one.
    this.#intake.abort();
    if (this.#doneOnLeave) this.#doneWithLast();
    for (const delivery of this.#unseen.splice(0)) void delivery.release();
    this.#subscription?.unsubscribe();
    this.#end();
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

  #take(delivery: Delivery): void {
    this.#unseen.push(delivery);
    this.#answer();
  }

  #end(): void {
    this.#over = true;
    this.#answer();
  }

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
    return this.#unwrap(delivery);
  }
}

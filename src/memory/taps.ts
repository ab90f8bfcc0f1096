import { Observable, Subject } from 'rxjs';
import type { QueueEntry, QueueKey, QueuePayload } from '../backend.js';
import { BlockQueue } from '../internal/block-queue.js';

/**
 * What can be watched of a queue. Emissions are queued, never nested: an observer that publishes sees its own message after the one that it is
 * looking at, and every observer sees the same order.
 */
export class Taps {
  readonly #entries = new Subject<QueueEntry>();
  readonly #counts = new Subject<number>();
  readonly #emissions = new BlockQueue<() => void>();
  #emitting = false;
  /** The count that was emitted last, while anybody watches. */
  #shown = 0;
  /** The count that is last in the line of emissions. */
  #counted = 0;
  /** Subscribers that are being shown the current count. */
  #joining = 0;

  readonly published$: Observable<QueueEntry> = this.#entries.asObservable();
  readonly unfinished$: Observable<number>;

  constructor(unfinished: () => number) {
    this.unfinished$ = new Observable((subscriber) => {
      // Others may have changes before them that are counted already: this one sees what they saw last, then the same changes.
      const current = this.countWatched ? this.#shown : unfinished();
      const join = () => {
        this.#joining++;
        this.#counted = this.#shown = current;
        subscriber.next(current);
        this.#joining--;
        this.#counts.subscribe(subscriber);
      };
      if (this.#emitting) join();
      else this.#emit(join);
    });
  }

  get entriesWatched(): boolean {
    return this.#entries.observed;
  }

  get countWatched(): boolean {
    return this.#counts.observed || this.#joining > 0;
  }

  published(key: QueueKey, payload: QueuePayload): void {
    this.#emit(() => this.#entries.next([key, payload]));
  }

  counted(unfinished: number): void {
    if (unfinished === this.#counted) return;
    this.#counted = unfinished;
    this.#emit(() => {
      this.#shown = unfinished;
      this.#counts.next(unfinished);
    });
  }

  /** No entry will come any more. */
  closed(): void {
    this.#emit(() => this.#entries.complete());
  }

  /** The count will not change any more. */
  finished(): void {
    this.#emit(() => this.#counts.complete());
  }

  #emit(emission: () => void): void {
    this.#emissions.push(emission);
    if (this.#emitting) return;
    this.#emitting = true;
    try {
      while (this.#emissions.length > 0) this.#emissions.shift()();
    } finally {
      this.#emitting = false;
    }
  }
}

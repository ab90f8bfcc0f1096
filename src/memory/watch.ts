import { Observable, Subject } from 'rxjs';
import type { QueueEntry, QueueKey, QueuePayload } from '../backend.js';
import { inContext } from '../internal/async-context.js';
import { BlockQueue } from '../internal/block-queue.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';

/**
 * What can be watched of a queue: the entries that it takes, how many are unfinished, and that none are.
 *
 * Emissions are queued, never nested: an observer that publishes sees its own message after the one that it is looking at, and all observers see the
 * same order.
 */
export class Watch {
  /** How many watch anything. While nobody does, nothing here need be called. */
  watchers = 0;
  readonly published$: Observable<QueueEntry>;
  readonly unfinished$: Observable<number>;
  readonly #unfinished: () => number;
  readonly #entries = new Subject<QueueEntry>();
  readonly #counts = new Subject<number>();
  readonly #joiners = new Set<() => void>();
  readonly #emissions = new BlockQueue<() => void>();
  #emitting = false;
  #countWatchers = 0;
  /** The count that stands last in the line of emissions, and the one that was emitted last. Both hold while somebody watches it. */
  #queued = 0;
  #shown = 0;

  constructor(unfinished: () => number) {
    this.#unfinished = unfinished;
    this.published$ = new Observable((observer) => {
      const subscriber = inContext(observer);
      this.watchers++;
      subscriber.add(() => this.watchers--);
      this.#entries.subscribe(subscriber);
    });
    this.unfinished$ = new Observable((observer) => {
      const subscriber = inContext(observer);
      // Others may still have changes before them that are counted already: this one sees what they saw last, then the same changes.
      const current = this.#countWatchers > 0 ? this.#shown : unfinished();
      if (this.#countWatchers === 0) this.#queued = this.#shown = current;
      this.watchers++;
      this.#countWatchers++;
      subscriber.add(() => {
        this.watchers--;
        this.#countWatchers--;
      });
      const join = () => {
        subscriber.next(current);
        this.#counts.subscribe(subscriber);
      };
      if (this.#emitting) join();
      else this.#emit(join);
    });
  }

  /** The queue took a message. */
  entered(key: QueueKey, payload: QueuePayload): void {
    if (this.#entries.observed) this.#emit(() => this.#entries.next([key, payload]));
  }

  /** The number of unfinished messages may have changed. */
  counted(): void {
    const unfinished = this.#unfinished();
    if (unfinished === 0 && this.#joiners.size > 0) {
      for (const finish of [...this.#joiners]) finish();
    }
    if (this.#countWatchers === 0 || unfinished === this.#queued) return;
    this.#queued = unfinished;
    this.#emit(() => {
      this.#shown = unfinished;
      this.#counts.next(unfinished);
    });
  }

  /** Resolves when nothing is unfinished; rejects with `signal.reason`. */
  join(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#unfinished() === 0) return turn.done();
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.watchers--;
        this.#joiners.delete(finish);
        ignoreAbort();
      };
      const finish = () => {
        leave();
        turn.resolve(resolve, undefined);
      };
      const ignoreAbort = onAbort(signal, () => {
        leave();
        reject(signal?.reason);
      });
      this.watchers++;
      this.#joiners.add(finish);
    });
  }

  /** No message will enter any more. */
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

import { type Observable, Subscription } from 'rxjs';
import { onAbort } from '../internal/on-abort.js';

/** One run of a consumer: from its start until nothing runs any more. */
export class Run {
  /** Resolves when it has stopped or its source has ended; rejects when its source has failed. */
  readonly ended: Promise<void>;
  readonly #stop = new AbortController();
  readonly #subscription = new Subscription();
  #resolve!: () => void;
  #reject!: (error: unknown) => void;

  constructor() {
    this.ended = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Aborts when no more is to be started. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether it has ended is known here at once, and by its promise a microtask later. */
  get over(): boolean {
    return this.#subscription.closed;
  }

  /** Runs; what it works on obeys `signal`. An abort of `obeyed` stops it too. */
  start(work: Observable<unknown>, obeyed: AbortSignal | undefined): void {
    if (obeyed?.aborted) this.stop();
    this.#subscription.add(onAbort(obeyed?.aborted ? undefined : obeyed, () => this.stop()));
    // A handler that runs within this call may have stopped it.
    this.#subscription.add(
      work.subscribe({
        error: (error: unknown) => {
          this.#subscription.unsubscribe();
          this.#reject(error);
        },
        complete: () => this.abandon(),
      }),
    );
  }

  /** Starts no more; what runs may finish. */
  stop(): void {
    this.#stop.abort();
  }

  /** Stops what runs, too. */
  abandon(): void {
    this.#subscription.unsubscribe();
    this.#resolve();
  }
}

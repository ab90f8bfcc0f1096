import { type Observable, Subscription } from 'rxjs';
import { onAbort } from '../internal/on-abort.js';

/** One run of a consumer, from its start until all handlers have finished. */
export class Run {
  /**
   * Resolves when the run has stopped or its source has ended. Rejects when its source has failed.
   */
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

  /** Aborts when no more handlers may start. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  /** Whether the run has ended. True at once, while the promise settles a microtask later. */
  get over(): boolean {
    return this.#subscription.closed;
  }

  /**
   * Starts the run.
   * @param work obeys `signal`
   * @param obeyed also stops the run when it aborts
   */
  start(work: Observable<unknown>, obeyed: AbortSignal | undefined): void {
    if (obeyed?.aborted) this.stop();
    this.#subscription.add(onAbort(obeyed?.aborted ? undefined : obeyed, () => this.stop()));
    // A handler that runs within this call may have stopped the run.
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

  /** Starts no more handlers. Those that run may finish. */
  stop(): void {
    this.#stop.abort();
  }

  /** Also stops the handlers that run. */
  abandon(): void {
    this.#subscription.unsubscribe();
    this.#resolve();
  }
}

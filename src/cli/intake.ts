import type { Delivery } from 'sluice';
import type { AnyQueue } from './open-queue.js';

export interface IntakeOptions {
  readonly group: string;
  /** How many deliveries may be in flight. */
  readonly prefetch: number;
  /** Ends the iteration. */
  readonly signal: AbortSignal;
  /** Ends the iteration when no delivery has come for so long, in milliseconds. Default: never. */
  readonly wait?: number | undefined;
}

/**
 * Takes deliveries, which its user settles. Unlike the loop of a stream, it acknowledges none, so
 * that any number can stay in flight.
 */
export class Intake {
  readonly #options: IntakeOptions;
  readonly #stop = new AbortController();
  readonly #arrived: Delivery[] = [];
  readonly #subscription: { unsubscribe(): void };
  #wake = () => {};
  #isComplete = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(queue: AnyQueue, options: IntakeOptions) {
    this.#options = options;
    const { group, prefetch } = options;
    this.#subscription = queue.deliveries({ group, prefetch, signal: this.#stop.signal }).subscribe({
      next: (delivery) => {
        this.#arrived.push(delivery);
        this.#wake();
      },
      error: (error) => {
        this.#failure = { error };
        this.#wake();
      },
      complete: () => {
        this.#isComplete = true;
        this.#wake();
      },
    });
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Delivery> {
    const { signal, wait } = this.#options;
    const end = () => this.#wake();
    signal.addEventListener('abort', end);
    try {
      while (!signal.aborted) {
        const delivery = this.#arrived.shift();
        if (delivery !== undefined) yield delivery;
        else if (this.#failure !== undefined) throw this.#failure.error;
        else if (this.#isComplete || !(await this.#happens(wait))) return;
      }
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  /** Takes no more, and releases what its user has not seen. The rest can still be settled. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#arrived.splice(0).map((delivery) => delivery.release()));
  }

  /** Requeues what is still in flight. */
  close(): void {
    this.#subscription.unsubscribe();
  }

  /** Resolves to whether something has happened in time. */
  #happens(within: number | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = within === undefined ? undefined : setTimeout(() => resolve(false), within);
      this.#wake = () => {
        clearTimeout(timer);
        resolve(true);
      };
    });
  }
}

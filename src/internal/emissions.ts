import { BlockQueue } from './block-queue.js';

/**
 * Runs emissions to observers one after another, never nested.
 *
 * An observer that publishes sees its own message after the one that it handles, and all observers
 * see the same order.
 */
export class Emissions {
  readonly #waiting = new BlockQueue<() => void>();
  #running = false;

  /** Whether an observer is running, further up the stack. */
  get running(): boolean {
    return this.#running;
  }

  emit(emission: () => void): void {
    this.#waiting.push(emission);
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#waiting.length > 0) this.#waiting.shift()();
    } finally {
      this.#running = false;
    }
  }
}

import { throwLater } from './throw-later.js';

/** The callbacks for one signal. */
class Listeners {
  readonly #callbacks = new Set<() => void>();
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(callback: () => void): void {
    if (this.#callbacks.size === 0) this.#signal.addEventListener('abort', this.#callAll);
    this.#callbacks.add(callback);
  }

  remove(callback: () => void): void {
    if (this.#callbacks.delete(callback) && this.#callbacks.size === 0)
      this.#signal.removeEventListener('abort', this.#callAll);
  }

  readonly #callAll = (): void => {
    this.#signal.removeEventListener('abort', this.#callAll);
    for (const callback of this.#callbacks) {
      this.#callbacks.delete(callback);
      try {
        callback();
      } catch (error) {
        throwLater(error);
      }
    }
  };
}

const listeners = new WeakMap<AbortSignal, Listeners>();

/**
 * Calls back once when a signal aborts. Returns a function that cancels this. The signal must not
 * be aborted yet.
 *
 * Adds one listener per signal, however many callbacks there are: a service may stop many consumers
 * by one signal, and Node.js warns of a leak at eleven listeners.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  const all = listeners.get(signal) ?? new Listeners(signal);
  listeners.set(signal, all);
  // A new function per call, so that one callback may be added twice.
  const own = () => callback();
  all.add(own);
  return () => all.remove(own);
}

import { throwLater } from './throw-later.js';

/** Who wants to hear of one signal's abort. */
class Listeners {
  readonly #callbacks = new Set<() => void>();
  readonly #signal: AbortSignal;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  add(callback: () => void): void {
    if (this.#callbacks.size === 0) this.#signal.addEventListener('abort', this.#tell);
    this.#callbacks.add(callback);
  }

  remove(callback: () => void): void {
    if (this.#callbacks.delete(callback) && this.#callbacks.size === 0)
      this.#signal.removeEventListener('abort', this.#tell);
  }

  readonly #tell = (): void => {
    this.#signal.removeEventListener('abort', this.#tell);
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
 * Calls back once when a signal aborts, until the function that it returns is called. The signal must not have aborted yet.
 *
 * However many wait for one signal, it has one listener: a service that stops by one signal has many consumers, and Node warns of a leak at eleven.
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => {};
  const all = listeners.get(signal) ?? new Listeners(signal);
  listeners.set(signal, all);
  // A function of its own for each call, so that one callback may wait twice.
  const own = () => callback();
  all.add(own);
  return () => all.remove(own);
}

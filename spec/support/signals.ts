import { getEventListeners } from 'node:events';

/** Returns the number of listeners of a signal. */
export function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

/** An AbortController whose signal counts the added and the removed listeners. */
export class CountingController extends AbortController {
  added = 0;
  removed = 0;
  /** The largest number of listeners at one time. */
  peak = 0;

  constructor() {
    super();
    const { signal } = this;
    const add = signal.addEventListener.bind(signal);
    const remove = signal.removeEventListener.bind(signal);
    signal.addEventListener = (...listener: Parameters<typeof add>) => {
      this.added++;
      add(...listener);
      this.peak = Math.max(this.peak, listenersOf(signal));
    };
    signal.removeEventListener = (...listener: Parameters<typeof remove>) => {
      this.removed++;
      remove(...listener);
    };
  }
}

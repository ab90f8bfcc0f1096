import type { Credit } from '../bridge/credit.js';

export interface PrefetchOptions {
  readonly credit: Credit;
  /** Whether all that may be out is here. Only then is there a use for a larger prefetch. */
  readonly isFull: () => boolean;
  /** Consumes nothing more. Resolves when nothing more will come. */
  readonly pause: () => Promise<void>;
  /** Consumes with a prefetch. */
  readonly consume: (prefetch: number) => Promise<void>;
  /** The prefetch is another: look whether it is what the credit asks for. */
  readonly onChange: () => void;
}

/** The most that AMQP has for a prefetch. */
const MOST = 65_535;

/** How long a prefetch stays, in milliseconds, before a smaller one takes its place. */
const SHORTEST_STAY = 1000;

/**
 * The prefetch of what a channel consumes, which follows a credit. A consumer keeps its prefetch, and quorum queues have none for a channel: so the consumers are
 * cancelled, and others take their place.
 */
export class Prefetch {
  readonly #options: PrefetchOptions;
  /** 0: nothing is consumed. */
  #current = 0;
  #since = 0;
  #begun = false;
  #adjusting = false;

  constructor(options: PrefetchOptions) {
    this.#options = options;
  }

  /** What the credit asks for; 0 while the subscriber pauses. */
  get wanted(): number {
    const { limit, paused } = this.#options.credit;
    return paused ? 0 : Math.min(MOST, limit);
  }

  /** Whether nothing is consumed, since the subscriber pauses. */
  get isPaused(): boolean {
    return this.#begun && this.#current === 0;
  }

  /** What is consumed first has begun. */
  begin(prefetch: number): void {
    this.#begun = true;
    this.#note(prefetch);
    this.#options.onChange();
  }

  /** Sees to it that the prefetch is what the credit asks for. One that is not far off stays. */
  follow(): void {
    if (this.#begun && !this.#adjusting && this.#isFarOff) void this.#adjust();
  }

  get #isFarOff(): boolean {
    const { wanted } = this;
    if (wanted === 0 || this.#current === 0) return wanted !== this.#current;
    if (wanted >= 2 * this.#current) return this.#options.isFull();
    return wanted <= this.#current / 2 && performance.now() - this.#since > SHORTEST_STAY;
  }

  async #adjust(): Promise<void> {
    const { pause, consume, onChange } = this.#options;
    this.#adjusting = true;
    try {
      while (this.#isFarOff) {
        await pause();
        const prefetch = this.wanted;
        if (prefetch > 0) await consume(prefetch);
        this.#note(prefetch);
      }
    } catch {
      // The channel has ended. What is consumed over the next one begins with the credit of then.
    }
    this.#adjusting = false;
    onChange();
  }

  #note(prefetch: number): void {
    this.#current = prefetch;
    this.#since = performance.now();
  }
}

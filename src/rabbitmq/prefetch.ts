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
  /** Runs while a smaller prefetch waits for `SHORTEST_STAY` to pass: nothing else may happen until then. */
  #later: NodeJS.Timeout | undefined;

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

  /** Whether `follow` may have something to do. */
  get mayChange(): boolean {
    return (
      this.isPaused ||
      this.#later !== undefined ||
      (this.#begun && !this.#adjusting && this.#stay < Number.POSITIVE_INFINITY)
    );
  }

  /** What is consumed first has begun. */
  begin(prefetch: number): void {
    this.#begun = true;
    this.#note(prefetch);
    this.#options.onChange();
  }

  /** Sees to it that the prefetch is what the credit asks for, now or when it may change. One that is not far off stays. */
  follow(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
    if (!this.#begun || this.#adjusting) return;
    const stay = this.#stay;
    if (stay === 0) void this.#adjust();
    else if (stay < Number.POSITIVE_INFINITY) this.#later = setTimeout(() => this.follow(), stay).unref();
  }

  /** Follows the credit no more. */
  end(): void {
    this.#begun = false;
    clearTimeout(this.#later);
  }

  /** How long the prefetch stays, in milliseconds. Infinity: until something changes. */
  get #stay(): number {
    const { wanted } = this;
    const isFarOff =
      this.#current === 0 || wanted <= this.#current / 2 || (wanted >= 2 * this.#current && this.#options.isFull());
    if (!isFarOff || wanted === this.#current) return Number.POSITIVE_INFINITY;
    const isSmaller = wanted > 0 && wanted < this.#current;
    return isSmaller ? Math.max(0, this.#since + SHORTEST_STAY - performance.now()) : 0;
  }

  async #adjust(): Promise<void> {
    const { pause, consume, onChange } = this.#options;
    this.#adjusting = true;
    try {
      while (this.#stay === 0) {
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

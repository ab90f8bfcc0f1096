import type { Credit } from '../bridge/credit.js';

export interface PrefetchOptions {
  readonly credit: Credit;
  /** Whether the prefetch is used up. Only then a larger one is of use. */
  readonly isFull: () => boolean;
  /** Stops consuming. Resolves when no more messages arrive. */
  readonly pause: () => Promise<void>;
  /** Consumes with a prefetch. */
  readonly consume: (prefetch: number) => Promise<void>;
  /** Called when the prefetch has changed. */
  readonly onChange: () => void;
}

/** The largest prefetch of AMQP. */
const MOST = 65_535;

/** How long a prefetch stays before a smaller one replaces it, in milliseconds. */
const SHORTEST_STAY = 1000;

/**
 * The prefetch of a channel's consumers, which follows the credit. A consumer keeps its prefetch,
 * and quorum queues support none for a whole channel, so the consumers are cancelled and replaced.
 */
export class Prefetch {
  readonly #options: PrefetchOptions;
  /** 0: the channel does not consume. */
  #current = 0;
  #since = 0;
  #begun = false;
  #adjusting = false;
  /** Runs while a smaller prefetch waits for `SHORTEST_STAY` to pass. */
  #later: NodeJS.Timeout | undefined;

  constructor(options: PrefetchOptions) {
    this.#options = options;
  }

  /** The prefetch for the current credit; 0 while the subscriber pauses. */
  get wanted(): number {
    const { limit, paused } = this.#options.credit;
    return paused ? 0 : Math.min(MOST, limit);
  }

  /** Whether the channel does not consume, since the subscriber pauses. */
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

  /** Notes that the channel has begun to consume. */
  begin(prefetch: number): void {
    this.#begun = true;
    this.#note(prefetch);
    this.#options.onChange();
  }

  /** Adapts the prefetch to the credit, now or when it may change. A small difference stays. */
  follow(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
    if (!this.#begun || this.#adjusting) return;
    const stay = this.#stay;
    if (stay === 0) void this.#adjust();
    else if (stay < Number.POSITIVE_INFINITY) this.#later = setTimeout(() => this.follow(), stay).unref();
  }

  /** Stops following the credit. */
  end(): void {
    this.#begun = false;
    clearTimeout(this.#later);
  }

  /** How long the prefetch stays, in milliseconds. Infinity: until the credit changes. */
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
      // The channel has ended. The next one begins with the credit of that time.
    }
    this.#adjusting = false;
    onChange();
  }

  #note(prefetch: number): void {
    this.#current = prefetch;
    this.#since = performance.now();
  }
}

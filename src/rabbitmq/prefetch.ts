import type { Credit } from '../bridge/credit.js';

export interface PrefetchOptions {
  readonly credit: Credit;
  /** Whether the prefetch is used up. Only then a larger one is of use. */
  readonly isFull: () => boolean;
  /** Stops consuming. Resolves when no more messages arrive. */
  readonly pause: () => Promise<void>;
  readonly consume: (prefetch: number) => Promise<void>;
  /** The prefetch has changed. */
  readonly onChange: () => void;
}

/** The largest prefetch of AMQP. */
const MOST = 65_535;

/** How long a prefetch stays before a smaller one replaces it, in milliseconds. */
const SHORTEST_STAY = 1000;

/**
 * Adapts the prefetch of a channel's consumers to the credit. A consumer keeps its prefetch, and
 * quorum queues support none for a whole channel, so the consumers are cancelled and replaced.
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

  /** The prefetch for the current credit. 0: the subscriber pauses. */
  get wanted(): number {
    const { limit, paused } = this.#options.credit;
    return paused ? 0 : Math.min(MOST, limit);
  }

  /** Whether the channel does not consume, because the subscriber pauses. */
  get isPaused(): boolean {
    return this.#begun && this.#current === 0;
  }

  /** Whether `follow` may have something to do. */
  get mayChange(): boolean {
    if (this.isPaused || this.#later !== undefined) return true;
    return this.#begun && !this.#adjusting && this.#stay < Number.POSITIVE_INFINITY;
  }

  /** The channel has begun to consume. */
  begin(prefetch: number): void {
    this.#begun = true;
    this.#set(prefetch);
    this.#options.onChange();
  }

  /** Adapts the prefetch now, or when it may change. A small difference stays. */
  follow(): void {
    clearTimeout(this.#later);
    this.#later = undefined;
    if (!this.#begun || this.#adjusting) return;
    const stay = this.#stay;
    if (stay === 0) void this.#adjust();
    else if (stay < Number.POSITIVE_INFINITY) this.#later = setTimeout(() => this.follow(), stay).unref();
  }

  end(): void {
    this.#begun = false;
    clearTimeout(this.#later);
  }

  /** How long the prefetch stays, in milliseconds. Infinity: until the credit changes. */
  get #stay(): number {
    const { wanted } = this;
    const current = this.#current;
    if (wanted === current) return Number.POSITIVE_INFINITY;
    if (wanted === 0 || current === 0 || (wanted >= 2 * current && this.#options.isFull())) return 0;
    if (wanted > current / 2) return Number.POSITIVE_INFINITY;
    return Math.max(0, this.#since + SHORTEST_STAY - performance.now());
  }

  async #adjust(): Promise<void> {
    const { pause, consume, onChange } = this.#options;
    this.#adjusting = true;
    try {
      while (this.#stay === 0) {
        await pause();
        const prefetch = this.wanted;
        if (prefetch > 0) await consume(prefetch);
        this.#set(prefetch);
      }
    } catch {
      // The channel has ended. The next one begins with the credit of that time.
    }
    this.#adjusting = false;
    onChange();
  }

  #set(prefetch: number): void {
    this.#current = prefetch;
    this.#since = performance.now();
  }
}

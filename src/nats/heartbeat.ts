/** After how many bytes a late link is slow, not dead. Heartbeats of consumers are smaller. */
const SLOW_AFTER = 16 * 1024;

/** By how much the time of a late link grows, and how many times the usual time it gets at most. */
const GROWTH = 4;
const MAX_FACTOR = 8;

/** The slowest link that does not count as dead, in bytes per millisecond. */
const SLOWEST_LINK = 20;

/** After how many pings in the usual time a link is fast again. */
const FAST_AFTER = 100;

/** Learns how slow the link to the server is. Outlives a connection: the next one is as slow. */
export class Pace {
  /** How many milliseconds more each sent byte gets. */
  #perByte = 0;
  #inTime = 0;
  readonly #publishTimeout: number;

  /** @param publishTimeout in milliseconds */
  constructor(publishTimeout: number) {
    this.#publishTimeout = publishTimeout;
  }

  /**
   * Returns how long a response may take after this many bytes, in milliseconds.
   * @param usual without the bytes, in milliseconds
   */
  timeFor(bytes: number, usual: number): number {
    const longest = Math.max(usual * MAX_FACTOR, Math.min(this.#publishTimeout, bytes / SLOWEST_LINK));
    return Math.min(longest, usual + bytes * this.#perByte);
  }

  answered(milliseconds: number, usual: number): void {
    this.#inTime = milliseconds <= usual ? this.#inTime + 1 : 0;
    if (this.#inTime >= FAST_AFTER) this.#perByte = 0;
  }

  /** A response was late. The kernel hides how many bytes have left, so the next link gets time. */
  late(bytes: number, usual: number): void {
    this.#inTime = 0;
    if (bytes >= SLOW_AFTER) this.#perByte = GROWTH * Math.max(this.#perByte, usual / bytes);
  }
}

export interface HeartbeatOptions {
  /** The time between pings, and for the response on a fast link, in milliseconds. */
  readonly interval: number;
  readonly pace: Pace;
  readonly ping: () => Promise<unknown>;
  /** How many bytes the connection has sent and received. */
  readonly sent: () => number;
  readonly received: () => number;
  /** Called once, when the server does not respond. */
  readonly onSilent: () => void;
}

/** Reports when the server does not respond to pings, which queue behind large payloads. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** How many bytes had been sent before the last answered ping. */
  #passed: number;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#passed = options.sent();
    this.#pause();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #pause(): void {
    if (!this.#stopped) this.#timer = setTimeout(() => void this.#beat(), this.#options.interval);
  }

  async #beat(): Promise<void> {
    const { interval, pace, ping, sent } = this.#options;
    const until = sent();
    const startedAt = performance.now();
    this.#watch(until - this.#passed);
    try {
      await ping();
    } catch {
      // The client lost the connection, and reports that itself.
      this.stop();
      return;
    }
    clearTimeout(this.#timer);
    this.#passed = until;
    pace.answered(performance.now() - startedAt, interval);
    this.#pause();
  }

  /** Waits for the response to a ping behind this many bytes, as long as many bytes arrive. */
  #watch(bytes: number): void {
    const { interval, pace, received, onSilent } = this.#options;
    const timeout = pace.timeFor(bytes, interval);
    let before = received();
    const check = () => {
      const now = received();
      if (now - before < SLOW_AFTER) {
        pace.late(bytes, interval);
        this.stop();
        onSilent();
        return;
      }
      before = now;
      wait();
    };
    // After the event loop was blocked, it reads arrived responses before the immediate runs.
    const wait = () => {
      const timer = setTimeout(() => setImmediate(() => this.#timer === timer && !this.#stopped && check()), timeout);
      this.#timer = timer;
    };
    wait();
  }
}

/** Pings an idle connection, so that the server does not close it. */
export class KeepAlive {
  readonly #ping: () => void;
  #usedAt = 0;
  #interval = Number.POSITIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(ping: () => void) {
    this.#ping = ping;
  }

  /** @param interval how long the connection may be idle, in milliseconds. Infinity: no ping. */
  start(interval: number): void {
    this.#interval = interval;
    this.used();
    this.#watch();
  }

  /** A command was sent or answered. */
  used(): void {
    this.#usedAt = performance.now();
  }

  /** Stops for good. */
  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#timer);
  }

  // A timer that checks from time to time costs less than one that each command restarts.
  #watch(): void {
    clearTimeout(this.#timer);
    if (this.#isStopped || this.#interval === Number.POSITIVE_INFINITY) return;
    let rest = this.#usedAt + this.#interval - performance.now();
    if (rest <= 0) {
      this.used();
      this.#ping();
      rest = this.#interval;
    }
    this.#timer = setTimeout(() => this.#watch(), Math.ceil(rest)).unref();
  }
}

/** How many bytes tell a slow link from a dead one: heartbeats of consumers are far smaller. */
const MANY = 16 * 1024;

/** How many times longer a link gets that was late. */
const LONGER = 4;

/** How many times the usual time it gets at most, where neither a publish may take longer nor much was sent. */
const LONGEST = 8;

/** How slow a link may be, in bytes per millisecond. One that takes longer for what was sent is dead, however long a publish may take. */
const SLOWEST_LINK = 20;

/** How many pings in the usual time make the link a quick one again. */
const QUICK_AGAIN = 100;

/** Learns how slow the way to the server is. Outlives a connection: the next one is as slow. */
export class Pace {
  /** How many milliseconds more it gets for each byte that was sent. */
  #perByte = 0;
  #inTime = 0;
  readonly #publishTimeout: number;

  /** @param publishTimeout how long a publish may take, in milliseconds */
  constructor(publishTimeout: number) {
    this.#publishTimeout = publishTimeout;
  }

  /** How long an answer may take that comes after so many bytes. @param usual without them, in milliseconds */
  timeFor(bytes: number, usual: number): number {
    const longest = Math.max(usual * LONGEST, Math.min(this.#publishTimeout, bytes / SLOWEST_LINK));
    return Math.min(longest, usual + bytes * this.#perByte);
  }

  /** An answer came. */
  answered(milliseconds: number, usual: number): void {
    this.#inTime = milliseconds <= usual ? this.#inTime + 1 : 0;
    if (this.#inTime >= QUICK_AGAIN) this.#perByte = 0;
  }

  /** An answer did not come in time. The kernel hides how much of what was sent has left; so the next connection gets longer for as much. */
  late(bytes: number, usual: number): void {
    this.#inTime = 0;
    // After a few bytes, the link is dead rather than slow.
    if (bytes >= MANY) this.#perByte = LONGER * Math.max(this.#perByte, usual / bytes);
  }
}

export interface HeartbeatOptions {
  /** How often the server is pinged, and how long an answer takes at most on a link that is not slow, in milliseconds. */
  readonly interval: number;
  readonly pace: Pace;
  /** Resolves when the server answers. */
  readonly ping: () => Promise<unknown>;
  /** How many bytes were sent so far, and how many have come. */
  readonly sent: () => number;
  readonly received: () => number;
  /** Called once, when the server does not answer. */
  readonly onSilent: () => void;
}

/** Pings the server, and reports when it does not answer. A ping and its answer queue behind large payloads, so on a slow link they get more time. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  /** How many bytes had been sent before the last ping that was answered. */
  #passed: number;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
    this.#passed = options.sent();
    this.#rest();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #rest(): void {
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
    this.#rest();
  }

  /** Waits for the answer to a ping, for as long as many bytes arrive before it. */
  #watch(bytes: number): void {
    const { interval, pace, received, onSilent } = this.#options;
    const patience = pace.timeFor(bytes, interval);
    let before = received();
    const look = () => {
      const now = received();
      if (now - before < MANY) {
        pace.late(bytes, interval);
        this.stop();
        onSilent();
        return;
      }
      before = now;
      wait();
    };
    // After the event loop was blocked, answers that have arrived are read before the immediate.
    const wait = () => {
      const timer = setTimeout(() => setImmediate(() => this.#timer === timer && !this.#stopped && look()), patience);
      this.#timer = timer;
    };
    wait();
  }
}

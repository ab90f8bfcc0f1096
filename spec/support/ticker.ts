const { setInterval: every, clearInterval: stop } = globalThis;

/**
 * A 5 ms timer that counts how often it fires. It does not fire while the event loop is blocked.
 */
export class Ticker {
  fired = 0;
  readonly #timer = every(() => {
    this.fired++;
    this.onTick?.();
  }, 5);
  readonly onTick: (() => void) | undefined;

  constructor(onTick?: () => void) {
    this.onTick = onTick;
  }

  stop(): void {
    stop(this.#timer);
  }
}

/** Runs a function beside a 5 ms timer and returns how often the timer fired. */
export async function ticksDuring(run: (ticker: Ticker) => Promise<unknown>): Promise<number> {
  const ticker = new Ticker();
  try {
    await run(ticker);
    return ticker.fired;
  } finally {
    ticker.stop();
  }
}

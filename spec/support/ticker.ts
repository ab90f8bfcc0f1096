const { setInterval: every, clearInterval: stop } = globalThis;

/** A timer of 5 ms that counts how often it fired: it stands still while the event loop is starved. */
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

/** Runs something beside a 5 ms timer; says how often it fired meanwhile. */
export async function ticksDuring(run: (ticker: Ticker) => Promise<unknown>): Promise<number> {
  const ticker = new Ticker();
  try {
    await run(ticker);
    return ticker.fired;
  } finally {
    ticker.stop();
  }
}

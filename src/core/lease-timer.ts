/** How often a lease is renewed before it would end. */
const RENEWALS = 3;

/** Says when a lease has to be renewed: as long as something is out, several times within it. */
export class LeaseTimer {
  readonly #lease: number;
  readonly #renew: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param lease in milliseconds */
  constructor(lease: number, renew: () => void) {
    this.#lease = lease;
    this.#renew = renew;
  }

  /** The broker has heard of this consumer just now: unless it holds nothing, the next time is due in a third of the lease. */
  restart(holding: boolean): void {
    this.stop();
    if (!holding) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#renew();
    }, this.#lease / RENEWALS);
  }

  /** Each message has a lease of its own, and one more is out, or one less: the time that is due for the others stays. */
  keep(holding: boolean): void {
    if (!holding) this.stop();
    else if (this.#timer === undefined) this.restart(true);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** How often a lease is renewed before it expires. */
export const RENEWALS = 3;

/**
 * Calls back when leases must be renewed: several times per lease, while messages are in flight.
 */
export class LeaseTimer {
  readonly #lease: number;
  readonly #renew: () => void;
  #timer: NodeJS.Timeout | undefined;

  /** @param lease in milliseconds */
  constructor(lease: number, renew: () => void) {
    this.#lease = lease;
    this.#renew = renew;
  }

  /** All leases were renewed just now. Without messages in flight, the timer stops. */
  restart(hasInFlight: boolean): void {
    this.stop();
    if (!hasInFlight) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#renew();
    }, this.#lease / RENEWALS);
  }

  /**
   * The number of messages in flight has changed. Each has a lease of its own, so a running timer
   * continues.
   */
  keep(hasInFlight: boolean): void {
    if (!hasInFlight) this.stop();
    else if (this.#timer === undefined) this.restart(true);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

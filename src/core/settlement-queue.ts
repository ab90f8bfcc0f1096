/** A settlement that is not confirmed. */
export interface PendingSettlement<Action> {
  readonly id: string;
  readonly action: Action;
  /** As `performance.now()`. */
  readonly settledAt: number;
  /** It was sent before, and the engine may have carried it out. */
  again: boolean;
  readonly resolve: (counted: boolean) => void;
  readonly reject: (error: unknown) => void;
  readonly confirmed: Promise<boolean>;
}

/** The unconfirmed settlements, in order. Those of one turn are sent together. */
export class SettlementQueue<Action> {
  readonly #compareIds: (one: string, other: string) => number;
  #waiting: PendingSettlement<Action>[] = [];
  #sent: readonly PendingSettlement<Action>[] = [];

  /** @param compareIds compares two messages by the order of their publication */
  constructor(compareIds: (one: string, other: string) => number) {
    this.#compareIds = compareIds;
  }

  get size(): number {
    return this.#waiting.length;
  }

  /** The settlements that wait to be sent. */
  get unsent(): readonly PendingSettlement<Action>[] {
    return this.#waiting;
  }

  /** All unconfirmed settlements. */
  get all(): PendingSettlement<Action>[] {
    return [...this.#sent, ...this.#waiting];
  }

  /** The ids of all unconfirmed settlements. */
  get ids(): string[] {
    return this.all.map(({ id }) => id);
  }

  add(id: string, action: Action): Promise<boolean> {
    let resolve!: (counted: boolean) => void;
    let reject!: (error: unknown) => void;
    const confirmed = new Promise<boolean>((...ends) => {
      [resolve, reject] = ends;
    });
    this.#waiting.push({ id, action, settledAt: performance.now(), again: false, resolve, reject, confirmed });
    return confirmed;
  }

  /**
   * Takes the next settlements to send, at most `most`, in the order of publication. Either all are
   * sent for the first time, or all again.
   */
  take(most: number): readonly PendingSettlement<Action>[] {
    const waiting = this.#waiting;
    const again = waiting[0]?.again;
    const change = waiting.findIndex((settlement) => settlement.again !== again);
    const end = Math.min(most, change < 0 ? waiting.length : change);
    this.#waiting = waiting.splice(end);
    this.#sent = waiting.sort((one, other) => this.#compareIds(one.id, other.id));
    return waiting;
  }

  /**
   * The engine has confirmed the taken settlements.
   * @param counted whether a settlement counted
   */
  answered(counted: (settlement: PendingSettlement<Action>) => boolean): void {
    const sent = this.#sent;
    this.#sent = [];
    for (const settlement of sent) settlement.resolve(counted(settlement));
  }

  /** Puts the taken settlements back at the front. */
  putBack({ again }: { readonly again: boolean }): void {
    if (again) for (const settlement of this.#sent) settlement.again = true;
    this.#waiting = [...this.#sent, ...this.#waiting];
    this.#sent = [];
  }

  /** Resolves waiting settlements that are too late to `false`. */
  drop(isLate: (settlement: PendingSettlement<Action>) => boolean): void {
    const late = new Set(this.#waiting.filter(isLate));
    if (late.size === 0) return;
    this.#waiting = this.#waiting.filter((settlement) => !late.has(settlement));
    for (const settlement of late) settlement.resolve(false);
  }

  /** Removes all settlements, and settles their promises by a function. */
  giveUp(how: (settlement: PendingSettlement<Action>) => void): void {
    const all = [...this.#sent, ...this.#waiting];
    this.#sent = [];
    this.#waiting = [];
    for (const settlement of all) how(settlement);
  }

  /** Resolves when all settlements of now are confirmed. */
  async confirmedNow(): Promise<void> {
    await Promise.allSettled([...this.#sent, ...this.#waiting].map(({ confirmed }) => confirmed));
  }
}

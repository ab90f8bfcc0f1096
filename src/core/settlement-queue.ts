/** What became of a delivery, on its way to the broker. */
export interface PendingSettlement<Verdict> {
  readonly id: string;
  readonly verdict: Verdict;
  /** When it was settled, by the clock of `performance`. */
  readonly settledAt: number;
  /** It was sent before, and nobody knows whether it was carried out. */
  again: boolean;
  readonly resolve: (counted: boolean) => void;
  readonly reject: (error: unknown) => void;
  readonly answer: Promise<boolean>;
}

/** The settlements that have not been answered, in order. Those of one turn travel together. */
export class SettlementQueue<Verdict> {
  readonly #compareIds: (one: string, other: string) => number;
  #waiting: PendingSettlement<Verdict>[] = [];
  #travelling: readonly PendingSettlement<Verdict>[] = [];

  /** @param compareIds which of two messages was published first, as a comparison for `sort` */
  constructor(compareIds: (one: string, other: string) => number) {
    this.#compareIds = compareIds;
  }

  /** How many wait to be sent. */
  get size(): number {
    return this.#waiting.length;
  }

  /** The ids of all that are not answered. */
  get ids(): string[] {
    return [...this.#travelling, ...this.#waiting].map(({ id }) => id);
  }

  add(id: string, verdict: Verdict): Promise<boolean> {
    let resolve!: (counted: boolean) => void;
    let reject!: (error: unknown) => void;
    const answer = new Promise<boolean>((...ends) => {
      [resolve, reject] = ends;
    });
    this.#waiting.push({ id, verdict, settledAt: performance.now(), again: false, resolve, reject, answer });
    return answer;
  }

  /** The next ones to send, at most `most`, in the order of their publication: either all for the first time, or all again. */
  take(most: number): readonly PendingSettlement<Verdict>[] {
    const waiting = this.#waiting;
    const again = waiting[0]?.again;
    const change = waiting.findIndex((settlement) => settlement.again !== again);
    const end = Math.min(most, change < 0 ? waiting.length : change);
    this.#waiting = waiting.splice(end);
    this.#travelling = waiting.sort((one, other) => this.#compareIds(one.id, other.id));
    return waiting;
  }

  /** What was taken was answered: whether each counted. */
  answered(counted: (settlement: PendingSettlement<Verdict>) => boolean): void {
    const travelled = this.#travelling;
    this.#travelling = [];
    for (const settlement of travelled) settlement.resolve(counted(settlement));
  }

  /** What was taken was not answered, and is first in the line again. */
  putBack({ again }: { readonly again: boolean }): void {
    if (again) for (const settlement of this.#travelling) settlement.again = true;
    this.#waiting = [...this.#travelling, ...this.#waiting];
    this.#travelling = [];
  }

  /** Those that wait and that it is too late for do not count. */
  drop(isLate: (settlement: PendingSettlement<Verdict>) => boolean): void {
    const late = new Set(this.#waiting.filter(isLate));
    if (late.size === 0) return;
    this.#waiting = this.#waiting.filter((settlement) => !late.has(settlement));
    for (const settlement of late) settlement.resolve(false);
  }

  /** None of them will be answered. */
  giveUp(how: (settlement: PendingSettlement<Verdict>) => void): void {
    const all = [...this.#travelling, ...this.#waiting];
    this.#travelling = [];
    this.#waiting = [];
    for (const settlement of all) how(settlement);
  }

  /** Resolves when all there are now are answered. */
  async answeredNow(): Promise<void> {
    await Promise.allSettled([...this.#travelling, ...this.#waiting].map(({ answer }) => answer));
  }
}

import { compareIds } from './ids.js';

/** What becomes of a message: it is done with; it goes back, counting this many deliveries; it is no message and goes aside. */
export type Verdict =
  | { readonly kind: 'ack' }
  | { readonly kind: 'back'; readonly deliveries: number; readonly delay: number }
  | { readonly kind: 'aside'; readonly reason: string };

export interface Settlement {
  readonly id: string;
  readonly verdict: Verdict;
  /** When a message that goes back falls due, by the clock of `performance`. */
  readonly due: number;
  /** It was sent before, and nobody knows whether it was carried out. */
  again: boolean;
  readonly resolve: (counted: boolean) => void;
  readonly reject: (error: unknown) => void;
}

/** The settlements that have not been answered, in order. Those of one turn travel together. */
export class Settlements {
  #waiting: Settlement[] = [];
  #travelling: readonly Settlement[] = [];
  /** The answer to the one that was added last. They are answered in order. */
  #last: Promise<unknown> = Promise.resolve();

  /** How many wait to be sent. */
  get size(): number {
    return this.#waiting.length;
  }

  /** The ids of all that are not answered. */
  get ids(): string[] {
    return [...this.#travelling, ...this.#waiting].map(({ id }) => id);
  }

  add(id: string, verdict: Verdict): Promise<boolean> {
    const answer = new Promise<boolean>((resolve, reject) => {
      const due = verdict.kind === 'back' ? performance.now() + verdict.delay : 0;
      this.#waiting.push({ id, verdict, due, again: false, resolve, reject });
    });
    this.#last = answer;
    return answer;
  }

  /** The next ones to send, at most `most`, sorted by id: either all for the first time, or all again. */
  take(most: number): readonly Settlement[] {
    const waiting = this.#waiting;
    const again = waiting[0]?.again;
    const change = waiting.findIndex((settlement) => settlement.again !== again);
    const end = Math.min(most, change < 0 ? waiting.length : change);
    this.#waiting = waiting.splice(end);
    this.#travelling = waiting.sort((a, b) => compareIds(a.id, b.id));
    return waiting;
  }

  /** What was taken was answered: whether each counted, in the order of the script. */
  answered(counted: string): void {
    let at = 0;
    const { acked, back, aside } = sorted(this.#travelling);
    this.#travelling = [];
    for (const { resolve } of acked) resolve(counted[at++] === '1');
    for (const { resolve } of back) resolve(counted[at++] === '1');
    for (const { resolve } of aside) resolve(true);
  }

  /** What was taken was not answered, and is first in the line again. */
  putBack({ again }: { readonly again: boolean }): void {
    if (again) for (const settlement of this.#travelling) settlement.again = true;
    this.#waiting = [...this.#travelling, ...this.#waiting];
    this.#travelling = [];
  }

  /** None of them will be answered. */
  giveUp(how: (settlement: Settlement) => void): void {
    const all = [...this.#travelling, ...this.#waiting];
    this.#travelling = [];
    this.#waiting = [];
    for (const settlement of all) how(settlement);
  }

  /** Resolves when all there are now are answered. */
  async answeredNow(): Promise<void> {
    await Promise.allSettled([this.#last]);
  }
}

/** Settlements as the script takes them: acknowledged ids, what goes back as id, deliveries and delay, what goes aside as id and reason. */
export function settlementArguments(settlements: readonly Settlement[]): { acked: string; back: string[]; aside: string[] } {
  const { acked, back, aside } = sorted(settlements);
  return {
    acked: acked.map(({ id }) => id).join(','),
    back: back.flatMap(({ id, verdict, due }) => {
      const delay = verdict.delay === 0 ? 0 : Math.max(0, Math.ceil(due - performance.now()));
      return [id, String(verdict.deliveries), String(delay)];
    }),
    aside: aside.flatMap(({ id, verdict }) => [id, verdict.reason]),
  };
}

type Of<Kind extends Verdict['kind']> = Settlement & { readonly verdict: Extract<Verdict, { kind: Kind }> };

function sorted(settlements: readonly Settlement[]): { acked: readonly Settlement[]; back: readonly Of<'back'>[]; aside: readonly Of<'aside'>[] } {
  const back = settlements.filter((settlement): settlement is Of<'back'> => settlement.verdict.kind === 'back');
  const aside = settlements.filter((settlement): settlement is Of<'aside'> => settlement.verdict.kind === 'aside');
  // Nearly always all are acknowledged.
  const acked = back.length + aside.length === 0 ? settlements : settlements.filter(({ verdict }) => verdict.kind === 'ack');
  return { acked, back, aside };
}

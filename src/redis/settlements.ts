import type { PendingSettlement } from '../core/settlement-queue.js';

/** What becomes of a message: it is done with; it goes back, counting this many deliveries; it is no message and goes aside. */
export type Verdict =
  | { readonly kind: 'ack' }
  | { readonly kind: 'back'; readonly deliveries: number; readonly delay: number }
  | { readonly kind: 'aside'; readonly reason: string };

export type Settlement = PendingSettlement<Verdict>;

/** Lists settlements as the script takes them. */
export function settlementArguments(settlements: readonly Settlement[]): {
  /** The ids, separated by commas. */
  acked: string;
  /** The delay in milliseconds. */
  requeue: (readonly [id: string, deliveries: number, delay: number])[];
  quarantine: (readonly [id: string, reason: string])[];
} {
  const { acked, back, aside } = sorted(settlements);
  return {
    acked: acked.map(({ id }) => id).join(','),
    requeue: back.map(({ id, verdict, settledAt }) => {
      const delay = verdict.delay === 0 ? 0 : Math.max(0, Math.ceil(settledAt + verdict.delay - performance.now()));
      return [id, verdict.deliveries, delay];
    }),
    quarantine: aside.map(({ id, verdict }) => [id, verdict.reason]),
  };
}

/** Reads the answer of the script: whether each counted, first what was acknowledged, then what goes back. */
export function countedOf(settlements: readonly Settlement[], answer: string): (settlement: Settlement) => boolean {
  if (!answer.includes('0')) return () => true;
  const { acked, back } = sorted(settlements);
  const uncounted = new Set([...acked, ...back].filter((_, index) => answer[index] !== '1'));
  return (settlement) => !uncounted.has(settlement);
}

type Of<Kind extends Verdict['kind']> = Settlement & { readonly verdict: Extract<Verdict, { kind: Kind }> };

function sorted(settlements: readonly Settlement[]): {
  acked: readonly Settlement[];
  back: readonly Of<'back'>[];
  aside: readonly Of<'aside'>[];
} {
  const back = settlements.filter((settlement): settlement is Of<'back'> => settlement.verdict.kind === 'back');
  const aside = settlements.filter((settlement): settlement is Of<'aside'> => settlement.verdict.kind === 'aside');
  // Nearly always all are acknowledged.
  const acked =
    back.length + aside.length === 0 ? settlements : settlements.filter(({ verdict }) => verdict.kind === 'ack');
  return { acked, back, aside };
}

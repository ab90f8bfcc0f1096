import fc from 'fast-check';
import { type PendingSettlement, SettlementQueue } from '../../src/core/settlement-queue.js';
import { outcomeOf, stateOf, turns } from '../support/promises.js';

/** Ids are numbers, in the order of publication. */
function open(): SettlementQueue<string> {
  return new SettlementQueue<string>((one, other) => Number(one) - Number(other));
}

const ids = (settlements: readonly PendingSettlement<string>[]) => settlements.map(({ id }) => id);

describe('SettlementQueue', () => {
  it('returns settlements together in publish order', () => {
    const settlements = open();
    for (const id of ['3', '1', '2']) void settlements.add(id, 'ack');
    expect(settlements.size).toBe(3);
    expect(ids(settlements.take(2))).toEqual(['1', '3']);
    expect([settlements.size, settlements.ids]).toEqual([1, ['1', '3', '2']]);
    settlements.answered(() => true);
    expect(ids(settlements.take(2))).toEqual(['2']);
    expect(ids(settlements.take(2))).toEqual([]);
  });

  it('knows when each was made and whether it was sent before', () => {
    const settlements = open();
    const before = performance.now();
    void settlements.add('1', 'back');
    const [settlement] = settlements.take(10);
    expect(settlement).toMatchObject({ id: '1', action: 'back', again: false });
    expect(settlement?.settledAt).toBeGreaterThanOrEqual(before);
    expect(settlement?.settledAt).toBeLessThanOrEqual(performance.now());
    settlements.putBack({ again: false });
    expect(settlements.take(10)[0]?.again).toBe(false);
    settlements.putBack({ again: true });
    void settlements.add('0', 'ack');
    expect(settlements.take(10)).toEqual([expect.objectContaining({ id: '1', again: true })]);
    settlements.putBack({ again: false });
    expect(settlements.take(10)).toEqual([expect.objectContaining({ id: '1', again: true })]);
  });

  it('reports when all current ones are confirmed, whatever is added later', async () => {
    const settlements = open();
    expect(await stateOf(settlements.confirmedNow())).toBe('fulfilled');
    void settlements.add('1', 'ack');
    const answered = settlements.confirmedNow();
    settlements.take(10);
    void settlements.add('2', 'ack');
    expect(await stateOf(answered)).toBe('pending');
    settlements.answered(() => true);
    expect(await stateOf(answered)).toBe('fulfilled');
  });

  it('counts failed ones as settled', async () => {
    const settlements = open();
    const answer = settlements.add('1', 'ack');
    const answered = settlements.confirmedNow();
    settlements.giveUp(({ reject }) => reject('gone'));
    expect(await outcomeOf(answer)).toEqual({ state: 'rejected', reason: 'gone' });
    expect(await stateOf(answered)).toBe('fulfilled');
  });

  it('resolves dropped ones with false, unless they are sent', async () => {
    const settlements = open();
    const answers = ['1', '2', '3'].map((id) => settlements.add(id, 'ack'));
    settlements.take(1);
    settlements.drop(({ id }) => id !== '3');
    expect(settlements.ids).toEqual(['1', '3']);
    expect(await Promise.all(answers.map(outcomeOf))).toEqual([
      { state: 'pending' },
      { state: 'fulfilled', value: false },
      { state: 'pending' },
    ]);
  });

  it('keeps waiting for earlier ones when the last one was dropped', async () => {
    const settlements = open();
    void settlements.add('1', 'ack');
    void settlements.add('2', 'back');
    const before = settlements.confirmedNow();
    settlements.drop(({ action }) => action === 'back');
    expect([await stateOf(before), await stateOf(settlements.confirmedNow())]).toEqual(['pending', 'pending']);
    settlements.take(10);
    settlements.answered(() => true);
    expect([await stateOf(before), await stateOf(settlements.confirmedNow())]).toEqual(['fulfilled', 'fulfilled']);
  });
});

type Step =
  | { readonly do: 'add'; readonly place: number }
  | { readonly do: 'send'; readonly end: string }
  | { readonly do: 'drop'; readonly every: number }
  | { readonly do: 'give up' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('add' as const), place: fc.nat(5) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('send' as const),
      end: fc.constantFrom('answered', 'answered', 'lost', 'refused', 'given up'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drop' as const), every: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.constant({ do: 'give up' as const }) },
);

/** An unconfirmed settlement, numbered by its call. */
interface Known {
  readonly number: number;
  again: boolean;
}

describe('SettlementQueue and a model', () => {
  it('send settlements in order until they are confirmed and return the right results', async () => {
    const run = async (steps: readonly Step[], most: number) => {
      const settlements = open();
      const answers: (boolean | undefined)[] = [];
      const expected: (boolean | undefined)[] = [];
      let waiting: Known[] = [];
      // Ids that sort by place first. The number makes them unique.
      const numberOf = ({ id }: PendingSettlement<string>) => Number(id) % 1000;
      const counts = (number: number) => number % 3 === 0;
      const drop = (every: number) => {
        settlements.drop((settlement) => numberOf(settlement) % every === 0);
        for (const { number } of waiting) if (number % every === 0) expected[number] = false;
        waiting = waiting.filter(({ number }) => number % every !== 0);
      };
      const giveUp = (all: readonly Known[]) => {
        settlements.giveUp(({ resolve }) => resolve(false));
        for (const { number } of all) expected[number] = false;
        waiting = [];
      };
      for (const each of steps) {
        if (each.do === 'add') {
          const number = expected.push(undefined) - 1;
          waiting.push({ number, again: false });
          void settlements.add(String(each.place * 1000 + number), 'ack').then((counted) => {
            answers[number] = counted;
          });
        } else if (each.do === 'drop') {
          drop(each.every);
        } else if (each.do === 'give up') {
          giveUp(waiting);
        } else {
          const first = waiting[0]?.again;
          const change = waiting.findIndex(({ again }) => again !== first);
          const sent = waiting.splice(0, Math.min(most, change < 0 ? waiting.length : change));
          const taken = settlements.take(most);
          expect(taken.map(numberOf).toSorted((a, b) => a - b)).toEqual(
            sent.map(({ number }) => number).toSorted((a, b) => a - b),
          );
          expect(ids(taken)).toEqual(ids(taken).toSorted((a, b) => Number(a) - Number(b)));
          expect(taken.every(({ again }) => again === first)).toBe(true);
          expect([settlements.size, settlements.ids.length]).toEqual([waiting.length, waiting.length + sent.length]);
          if (sent.length % 2 === 1) drop(2);
          if (each.end === 'answered') {
            settlements.answered((settlement) => counts(numberOf(settlement)));
            for (const { number } of sent) expected[number] = counts(number);
          } else if (each.end === 'given up') {
            giveUp([...sent, ...waiting]);
          } else {
            settlements.putBack({ again: each.end === 'lost' });
            if (each.end === 'lost') for (const one of sent) one.again = true;
            // Settlements that were sent together keep their order.
            waiting = [
              ...taken.map((settlement) => sent.find(({ number }) => number === numberOf(settlement)) as Known),
              ...waiting,
            ];
          }
        }
        expect(settlements.size).toBe(waiting.length);
        expect(settlements.ids.map((id) => Number(id) % 1000)).toEqual(waiting.map(({ number }) => number));
      }
      await turns(1);
      expect(Array.from(expected, (_, number) => answers[number])).toEqual(expected);
    };
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40, size: 'max' }), fc.integer({ min: 1, max: 5 }), run),
      { numRuns: 300 },
    );
  });
});

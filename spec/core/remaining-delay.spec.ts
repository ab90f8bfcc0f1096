import fc from 'fast-check';
import { remainingDelay } from '../../src/core/outbox.js';

describe('remainingDelay', () => {
  const remaining = (enteredAt: number, now: number, delay = 100) =>
    remainingDelay({ parcel: { delay }, enteredAt }, now);

  it('is the full delay for a message that is sent immediately, and less after a wait', () => {
    expect([remaining(0, 0), remaining(0, 49), remaining(0, 60), remaining(0, 500), remaining(0, 500, 0)]).toEqual([
      100, 100, 40, 1, 0,
    ]);
  });

  it('keeps the order of messages that are sent together', () => {
    const moments = fc.array(fc.double({ min: 0, max: 200, noNaN: true }), { maxLength: 30 });
    fc.assert(
      fc.property(moments, (entered) => {
        const left = entered.toSorted((a, b) => a - b).map((enteredAt) => remaining(enteredAt, 200));
        expect(left).toEqual(left.toSorted((a, b) => a - b));
      }),
    );
  });
});

import fc from 'fast-check';
import { LeaseTimer } from '../../src/core/lease-timer.js';
import { fakeTime } from './fakes.js';

const LEASE = 900;

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

describe('LeaseTimer', () => {
  it('fires once, a third of the lease after the last renewal', () => {
    const renew = jest.fn();
    const keeper = new LeaseTimer(LEASE, renew);
    keeper.restart(true);
    jest.advanceTimersByTime(200);
    keeper.restart(true);
    jest.advanceTimersByTime(299);
    expect(renew).toHaveBeenCalledTimes(0);
    jest.advanceTimersByTime(1);
    expect([renew.mock.calls.length, jest.getTimerCount()]).toEqual([1, 0]);
  });

  it('can be restarted by its callback', () => {
    const keeper = new LeaseTimer(LEASE, () => {
      renewals += 1;
      keeper.keep(true);
    });
    let renewals = 0;
    keeper.keep(true);
    jest.advanceTimersByTime(LEASE * 10);
    expect([renewals, jest.getTimerCount()]).toEqual([30, 1]);
    keeper.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('is never late, and has no timer without messages in flight', () => {
    const step = fc.record({
      how: fc.constantFrom('restart', 'keep', 'stop'),
      holding: fc.boolean(),
      passes: fc.constantFrom(0, 1, 150, 299, 300, 1000),
    });
    const run = (steps: readonly { how: string; holding: boolean; passes: number }[]) => {
      let renewals = 0;
      let expected = 0;
      let now = 0;
      let due: number | undefined;
      const keeper = new LeaseTimer(LEASE, () => renewals++);
      for (const { how, holding, passes } of steps) {
        if (how === 'stop') keeper.stop();
        else if (how === 'keep') keeper.keep(holding);
        else keeper.restart(holding);
        if (how === 'stop' || !holding) due = undefined;
        else if (how === 'restart' || due === undefined) due = now + LEASE / 3;
        jest.advanceTimersByTime(passes);
        now += passes;
        if (due !== undefined && due <= now) {
          due = undefined;
          expected += 1;
        }
        expect([renewals, jest.getTimerCount()]).toEqual([expected, due === undefined ? 0 : 1]);
      }
      keeper.stop();
      expect(jest.getTimerCount()).toBe(0);
    };
    fc.assert(fc.property(fc.array(step, { maxLength: 30 }), run));
  });
});

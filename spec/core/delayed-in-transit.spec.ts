import fc from 'fast-check';
import { DelayedInTransit } from '../../src/core/delayed-in-transit.js';

let now = 0;

beforeEach(() => {
  now = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => now);
});

afterEach(() => jest.restoreAllMocks());

describe('DelayedInTransit', () => {
  it('counts a message until it arrives or is too late', () => {
    const underway = new DelayedInTransit({ most: 10, lateness: 1000 });
    underway.add('one', 50);
    underway.add('two', 5_000);
    expect(underway.size).toBe(2);
    expect(underway.dueAt('one')).toBe(50);
    underway.delete('one');
    expect(underway.dueAt('one')).toBeUndefined();
    underway.delete('never sent');
    expect(underway.size).toBe(1);
    now = 6_000;
    expect(underway.size).toBe(1);
    now = 6_001;
    expect(underway.size).toBe(0);
  });

  it('remembers messages up to a limit, and more once others have arrived', () => {
    const underway = new DelayedInTransit({ most: 1024, lateness: 1000 });
    for (let n = 0; n < 5_000; n++) underway.add(`${n}`, n < 100 ? 10 : 60_000);
    expect(underway.size).toBe(1024);
    now = 2_000;
    underway.add('later', 10);
    expect(underway.size).toBe(925);
  });

  it('lists the messages within a lateness', () => {
    const underway = new DelayedInTransit({ most: 10, lateness: 1000 });
    underway.add('one', 50);
    underway.add('two', 500);
    now = 160;
    expect([underway.idsWithin(110), underway.idsWithin(109), underway.idsWithin(1000)]).toEqual([
      ['one', 'two'],
      ['two'],
      ['one', 'two'],
    ]);
  });

  it('equals a list of messages and times', () => {
    const step = fc.oneof(
      fc.record({ add: fc.nat(30), delay: fc.nat(500) }),
      fc.record({ delete: fc.nat(30) }),
      fc.record({ wait: fc.nat(400) }),
      fc.record({ clear: fc.constant(true) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 8 }), (steps, most) => {
        now = 0;
        const underway = new DelayedInTransit({ most, lateness: 20 });
        let model: { readonly id: string; readonly until: number }[] = [];
        for (const [id, next] of steps.entries()) {
          const rest = model.filter(({ until }) => until >= now);
          if ('wait' in next) now += next.wait;
          else if ('clear' in next) {
            underway.clear();
            model = [];
          } else if ('delete' in next) {
            underway.delete(`${next.delete}`);
            model = model.filter((one) => one.id !== `${next.delete}`);
          } else {
            underway.add(`${id}`, next.delay);
            if (rest.length < most) model = [...rest, { id: `${id}`, until: now + next.delay + 20 }];
          }
          // Reading forgets late messages, so the test does not read after each step.
          if (id % 3 === 0) expect(underway.size).toBe(model.filter(({ until }) => until >= now).length);
        }
      }),
    );
  });
});

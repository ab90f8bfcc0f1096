import { callScript } from '../support/call-script.js';

const call = (module: string, expression: string, input?: unknown) =>
  callScript(`../bench/${module}`, expression, input ?? null);

const row = (id: string, role: string, median?: number) => ({ id, name: id, role, median });

const judge = (goal: object, rows: readonly object[]) =>
  call('lib/summary.mjs', 'script.judge(input.goal, input.rows)', { goal, rows });

describe('The goals of the benchmarks', () => {
  it('compare with the limit from below', () => {
    const rows = [row('sluice', 'own', 4), row('limit', 'limit', 5)];
    const goal = { atLeast: 0.8, of: 'limit' };
    expect(judge(goal, rows)).toEqual({ ...goal, against: 'limit', reached: 0.8, met: true });
    expect(judge({ ...goal, atLeast: 0.9 }, rows)).toMatchObject({ met: false });
  });

  it('compare with the limit from above', () => {
    const rows = [row('sluice', 'own', 3), row('limit', 'limit', 2)];
    const goal = { atMost: 1.5, of: 'limit' };
    expect(judge(goal, rows)).toEqual({ ...goal, against: 'limit', reached: 1.5, met: true });
    expect(judge({ ...goal, atMost: 1.3 }, rows)).toMatchObject({ met: false });
  });

  it('compare with the peer whose figure is best, without contenders that are none', () => {
    const peers = [row('slow', 'peer', 1), row('fast', 'peer', 2), row('failed', 'peer')];
    const rows = [row('sluice', 'own', 2), row('batches', 'batches', 3), ...peers];
    expect(judge({ atLeast: 1, of: 'best peer' }, rows)).toMatchObject({ against: 'fast', reached: 1, met: true });
    expect(judge({ atMost: 1, of: 'best peer' }, rows)).toMatchObject({ against: 'slow', reached: 2, met: false });
  });

  it('are unknown if a figure is missing', () => {
    const goal = { atMost: 1.3, of: 'limit' };
    expect(judge(goal, [row('sluice', 'own', 3)])).toEqual({ ...goal, reached: null, met: null });
    expect(judge(goal, [row('sluice', 'own'), row('limit', 'limit', 2)])).toMatchObject({ met: null });
  });

  it.each([
    [{ atLeast: 0.8, of: 'limit' }, 'at least 0.8 × the limit'],
    [{ atMost: 1.3, of: 'limit' }, 'at most 1.3 × the limit'],
    [{ atLeast: 1, of: 'best peer' }, 'at least 1 × the best peer'],
    [{ atMost: 100 }, 'at most 100 bytes'],
  ])('say what they compare: %j', (goal, text) => {
    expect(call('lib/tables.mjs', `script.goalText(input, 'bytes')`, goal)).toBe(text);
  });
});

describe('The scenario `crowded`', () => {
  /** Runs a contender that lets `waiting` messages wait and then takes them. */
  const runWith = (waiting: number) =>
    call(
      'scenarios/crowded.mjs',
      `await script.crowded.run({
        open: () => {
          const sent = [];
          return {
            async publish(first, step, end, accepted) {
              for (let n = first; n < end; n += step) {
                sent.push(n);
                accepted();
              }
            },
            async consume(take) {
              await null;
              for (const n of sent) take(n);
            },
          };
        },
      }, { messages: input }).then(({ details }) => details, ({ message }) => message)`,
      waiting,
    );

  it('accepts as many messages as the capacity, and one that the consumer has', () => {
    expect(runWith(17)).toEqual({ most: 17 });
  });

  it('fails a contender that lets more messages wait', () => {
    expect(runWith(18)).toBe('18 accepted messages waited with a capacity of 16');
  });
});

describe('The comparison of two builds', () => {
  const interval = (values: readonly number[], probability = 0.95) =>
    call('lib/confidence.mjs', 'script.medianInterval(input.values, input.probability)', { values, probability });

  const upTo = (count: number) => Array.from({ length: count }, (_, index) => count - index);

  // The ranks are those of the tables for the sign test.
  it.each([
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [10, 2, 9],
    [12, 3, 10],
    [15, 4, 12],
    [20, 6, 15],
    [25, 8, 18],
    [50, 18, 33],
  ])('encloses the median of %d ratios', (count, low, high) => {
    expect(interval(upTo(count))).toEqual({ low, median: (count + 1) / 2, high });
  });

  it('takes a wider interval for a higher probability', () => {
    expect(interval(upTo(10), 0.99)).toEqual({ low: 1, median: 5.5, high: 10 });
  });

  it('refuses too few ratios', () => {
    expect(() => interval(upTo(5))).toThrow('5 values are too few for an interval of 95 %');
  });

  const verdict = (low: number, median: number, high: number, unit = 'M/s', lowerIsBetter = false) =>
    call('lib/confidence.mjs', 'script.verdictOn(input, input)', { low, median, high, unit, lowerIsBetter });

  it('finds no difference if the interval contains 1', () => {
    expect(verdict(0.9, 1.1, 1.2)).toBe('no difference');
  });

  it('finds no difference of less than a hundredth', () => {
    expect(verdict(1.001, 1.009, 1.02)).toBe('no difference');
  });

  it('says in which direction a figure changed', () => {
    expect(verdict(1.01, 1.1, 1.2)).toBe('faster');
    expect(verdict(0.8, 0.9, 0.99)).toBe('slower');
    expect(verdict(1.01, 1.1, 1.2, 'µs', true)).toBe('slower');
    expect(verdict(0.8, 0.9, 0.99, 'bytes', true)).toBe('better');
    expect(verdict(1.01, 1.1, 1.2, 'bytes', true)).toBe('worse');
  });
});

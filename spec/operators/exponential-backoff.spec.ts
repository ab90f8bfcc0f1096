import { type ExponentialBackoffOptions, exponentialBackoff } from 'sluice';
import { upTo } from '../support/consumers.js';
import { thrownBy } from '../support/promises.js';

const delays = (options: ExponentialBackoffOptions | undefined, retries: number[]) => {
  const delay = exponentialBackoff(options);
  return retries.map((retry) => delay(undefined, retry));
};

describe('exponentialBackoff', () => {
  it('doubles with each retry up to the maximum', () => {
    expect(delays({ initial: 100, max: 1000, jitter: 0 }, upTo(6))).toEqual([100, 200, 400, 800, 1000, 1000]);
  });

  it('grows from one second to 30 seconds by default, shortened by up to a fifth', () => {
    expect(delays({ jitter: 0 }, [1, 2, 3, 4, 5, 6, 7])).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
    for (const options of [undefined, {}]) {
      const first = upTo(2000).map(() => delays(options, [1])[0] as number);
      expect(Math.min(...first)).toBeGreaterThanOrEqual(800);
      expect(Math.max(...first)).toBeLessThanOrEqual(1000);
      expect(Math.max(...first) - Math.min(...first)).toBeGreaterThan(150);
    }
  });

  it.each([0.2, 0.5, 1])('randomizes a share of %p', (jitter) => {
    const random = jest.spyOn(Math, 'random');
    try {
      random.mockReturnValue(0);
      expect(delays({ initial: 100, max: 400, jitter }, [1, 2, 9])).toEqual([100, 200, 400]);
      random.mockReturnValue(0.5);
      expect(delays({ initial: 100, max: 400, jitter }, [1, 2, 9])).toEqual(
        [100, 200, 400].map((delay) => delay * (1 - jitter / 2)),
      );
    } finally {
      random.mockRestore();
    }
  });

  it('never exceeds its maximum', () => {
    expect(delays({ jitter: 0 }, [100, 1023, 1024, 1025, 1100, 1e9])).toEqual(Array.from({ length: 6 }, () => 30_000));
  });

  it('stays at 0 if it starts with 0', () => {
    expect(delays({ initial: 0 }, [1, 2, 1000, 1025, 5000])).toEqual([0, 0, 0, 0, 0]);
  });

  it('may have a maximum of 0 or equal to its start', () => {
    expect(delays({ initial: 0, max: 0, jitter: 0 }, [1, 2])).toEqual([0, 0]);
    expect(delays({ initial: 50, max: 50, jitter: 0 }, [1, 2])).toEqual([50, 50]);
  });

  it('adapts the default of one option to the other', () => {
    expect(delays({ initial: 60_000, jitter: 0 }, [1, 2])).toEqual([60_000, 60_000]);
    expect(delays({ max: 10, jitter: 0 }, [1, 2])).toEqual([10, 10]);
  });

  it.each<[string, string, unknown]>([
    ['initial', 'RangeError', -1],
    ['initial', 'RangeError', Number.NaN],
    ['initial', 'RangeError', Number.POSITIVE_INFINITY],
    ['initial', 'TypeError', '100'],
    ['initial', 'TypeError', null],
    ['max', 'RangeError', -1],
    ['max', 'RangeError', Number.NaN],
    ['max', 'RangeError', Number.POSITIVE_INFINITY],
    ['max', 'TypeError', '100'],
    ['jitter', 'RangeError', -0.1],
    ['jitter', 'RangeError', 1.1],
    ['jitter', 'RangeError', Number.NaN],
    ['jitter', 'TypeError', true],
  ])('throws for an invalid `%s` with a %s (%p)', (name, error, value) => {
    expect(thrownBy(() => exponentialBackoff({ [name]: value }))).toMatchObject({
      name: error,
      message: expect.stringContaining(`\`${name}\``),
    });
  });

  it('throws if `max` is less than `initial`', () => {
    expect(thrownBy(() => exponentialBackoff({ initial: 10, max: 5 }))).toMatchObject({
      name: 'RangeError',
      message: expect.stringContaining('`max`'),
    });
  });

  it.each([null, 5, 'fast'])('throws for invalid options (%p)', (options) => {
    expect(thrownBy(() => exponentialBackoff(options as ExponentialBackoffOptions))).toMatchObject({
      name: 'TypeError',
    });
  });
});

import { reconnectBackoff } from '../../src/core/reconnect-backoff.js';

const backoffs = (lease?: number) =>
  [1, 2, 3, 7, 8, 9999].map((failures) => reconnectBackoff(lease)(undefined, failures));

describe('reconnectBackoff', () => {
  afterEach(() => jest.restoreAllMocks());

  it('doubles from 50 ms to 5,000 ms', () => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    expect(backoffs()).toEqual([50, 100, 200, 3200, 5000, 5000]);
  });

  it('shortens each backoff by up to a half', () => {
    jest.spyOn(Math, 'random').mockReturnValue(1);
    expect(backoffs()).toEqual([25, 50, 100, 1600, 2500, 2500]);
  });

  it.each([
    [60_000, 5000],
    [3000, 1000],
    [30, 50],
  ])('with a lease of %d ms, is %d ms at most', (lease, most) => {
    jest.spyOn(Math, 'random').mockReturnValue(0);
    expect(backoffs(lease).at(-1)).toBe(most);
  });
});

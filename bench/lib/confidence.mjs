import { median } from './median.mjs';

/** A smaller difference is none, even if it is significant. */
const LEAST_DIFFERENCE = 0.01;

/**
 * Returns the median of values, and an interval that contains the median of their distribution with
 * the given probability, whatever the distribution is. The ends are order statistics: the number of
 * values below the median has a binomial distribution with p = 1/2.
 *
 * Source: H. A. David and H. N. Nagaraja, Order Statistics, third edition, section 7.1.
 * @throws {RangeError} if there are too few values. A probability of 0.95 needs six.
 */
export function medianInterval(values, probability = 0.95) {
  const sorted = [...values].sort((one, other) => one - other);
  const count = sorted.length;
  let outside = 0;
  let exactly = 0.5 ** count;
  let rank = 0;
  while (2 * (outside + exactly) <= 1 - probability) {
    outside += exactly;
    rank++;
    exactly *= (count - rank + 1) / rank;
  }
  if (rank === 0) throw new RangeError(`${count} values are too few for an interval of ${probability * 100} %`);
  return { low: sorted[rank - 1], median: median(sorted), high: sorted[count - rank] };
}

/** Says whether the ratios of new to old figures, of which an interval is given, show a change. */
export function verdictOn({ low, median, high }, { unit, lowerIsBetter }) {
  if ((low <= 1 && high >= 1) || Math.abs(median - 1) < LEAST_DIFFERENCE) return 'no difference';
  const isBetter = median < 1 === lowerIsBetter;
  if (unit === 'M/s' || unit === 'µs') return isBetter ? 'faster' : 'slower';
  return isBetter ? 'better' : 'worse';
}

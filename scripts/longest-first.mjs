import TestSequencer from '@jest/test-sequencer';

/** The suites that take longest, though their files are short: the contract, the faults, and those with a server that starts slowly. */
const takesLongest = ({ path }) => /[\\/](integration|rabbitmq)[\\/]|[\\/]contract\.spec/.test(path);

/**
 * Starts the longest suites first, so that no worker is left with one at the end. Where jest has run before it goes by times; on a fresh machine it would go by
 * the size of files.
 */
export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [...sorted.filter(takesLongest), ...sorted.filter((test) => !takesLongest(test))];
  }
}

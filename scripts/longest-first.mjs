import TestSequencer from '@jest/test-sequencer';
import { engines } from './lib/engines.mjs';

/** The engines whose server starts slowly. */
const slow = engines.filter(({ startsSlowly }) => startsSlowly).map(({ name }) => name);

const folders = ['integration', ...slow].join('|');

/**
 * The suites that take longest, though their files are short: the contract, the faults, and those
 * of a server that starts slowly.
 */
const LONGEST = new RegExp(`[\\\\/](${folders})[\\\\/]|[\\\\/]contract\\.spec`);

const takesLongest = ({ path }) => LONGEST.test(path);

/**
 * Starts the longest suites first, so that no worker is left with one at the end. Where jest has
 * run before it goes by times; on a fresh machine it would go by the size of files.
 */
export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [...sorted.filter(takesLongest), ...sorted.filter((test) => !takesLongest(test))];
  }
}

import TestSequencer from '@jest/test-sequencer';
import { engines } from './lib/engines.mjs';

/** The engines whose server starts slowly. */
const slow = engines.filter(({ startsSlowly }) => startsSlowly).map(({ name }) => name);

const folders = ['browser', 'integration', ...slow].join('|');

/**
 * Matches the suites that take longest although their files are short: contracts, faults, servers
 * that start slowly, and those that open a browser.
 */
const LONGEST = new RegExp(`[\\\\/](${folders})[\\\\/]|[\\\\/]contract\\.spec`);

const takesLongest = ({ path }) => LONGEST.test(path);

/**
 * Starts the longest suites first, so that no worker runs one alone at the end. If jest has run
 * before, it uses the recorded times. Otherwise, it would use the size of the files.
 */
export default class LongestFirst extends TestSequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [...sorted.filter(takesLongest), ...sorted.filter((test) => !takesLongest(test))];
  }
}

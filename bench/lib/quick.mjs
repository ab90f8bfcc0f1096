/**
 * Compares the build of this checkout with that of an older commit, in the scenarios of sluice
 * without a server. Each pair of runs gives a ratio, so that only the noise within a pair counts.
 */
import path from 'node:path';
import { buildOf, commitToCompare } from './builds.mjs';
import { medianInterval, verdictOn } from './confidence.mjs';
import { median } from './median.mjs';
import { runChild } from './spawn.mjs';
import { lowerIsBetter } from './summary.mjs';
import { figure } from './tables.mjs';

/** With these, all scenarios take about five minutes. */
const ROUNDS = 9;
const MESSAGES = 400_000;

const NEW_BUILD = path.join(import.meta.dirname, '../../dist');

/** Runs the pairs of all scenarios and prints what they show. */
export async function quick(scenarios, { against, rounds = ROUNDS, messages = MESSAGES, timeout }) {
  // Throws if the pairs are too few.
  medianInterval(new Array(rounds).fill(1));
  const { name, commit } = commitToCompare(against);
  console.error(`building ${name}`);
  const dists = { old: buildOf(commit), new: NEW_BUILD };
  const pairs = Object.fromEntries(Object.keys(scenarios).map((id) => [id, []]));
  for (let round = 0; round < rounds; round++) {
    for (const [id, scenario] of Object.entries(scenarios)) {
      if (pairs[id].some(({ failed }) => failed !== undefined)) continue;
      console.error(`pair ${round + 1} of ${rounds}: ${id}`);
      const count = Math.min(scenario.messages ?? messages, messages);
      const run = (dist) => runChild(id, 'sluice', count, { timeout, dist: dists[dist] });
      pairs[id].push(await pairOf(run, round % 2 === 0));
    }
  }
  const lines = Object.entries(scenarios).map(([id, scenario]) => line(id, scenario, pairs[id]));
  console.log(`The build in dist/ compared with ${name}: new / old, medians of ${rounds} pairs of runs\n`);
  console.log([HEAD, ...lines].join('\n'));
}

/** Runs both builds. The order alternates, so that a drift of the machine cancels out. */
async function pairOf(run, oldFirst) {
  const pair = {};
  for (const dist of oldFirst ? ['old', 'new'] : ['new', 'old']) {
    const { value, failed } = await run(dist);
    if (failed !== undefined) return { failed: `${dist}: ${failed}` };
    pair[dist] = value;
  }
  return pair;
}

const row = (id, old, now, ratio, interval, verdict) =>
  `${id.padEnd(12)} ${old.padStart(12)} ${now.padStart(12)} ${ratio.padStart(9)}  ${interval.padEnd(17)} ${verdict}`.trimEnd();

const HEAD = row('', 'old', 'new', 'new / old', '95 % interval', '');

function line(id, scenario, pairs) {
  const failed = pairs.find((pair) => pair.failed !== undefined);
  if (failed !== undefined) return `${id.padEnd(12)} failed: ${failed.failed}`;
  const { unit } = scenario;
  const medianOf = (dist) => `${figure(median(pairs.map((pair) => pair[dist]).sort((a, b) => a - b)), unit)} ${unit}`;
  const interval = medianInterval(pairs.map((pair) => pair.new / pair.old));
  const [low, ratio, high] = [interval.low, interval.median, interval.high].map((value) => value.toFixed(2));
  const verdict = verdictOn(interval, { unit, lowerIsBetter: lowerIsBetter(scenario) });
  return row(id, medianOf('old'), medianOf('new'), ratio, `${low} to ${high}`, verdict);
}

import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { contenders } from '../contenders/index.mjs';
import { median } from './median.mjs';

/**
 * Describes the environment of the measurement without naming the machine. `server` is the name and
 * the version of the server, if any.
 */
export function environment(loadBefore, server) {
  const list = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    node: process.version,
    server,
    cpu: list[0]?.model ?? 'unknown',
    cores: list.length,
    loadBefore,
    loadAfter: loadavg()[0],
  };
}

/**
 * Summarises a scenario. `messages` is its usual number of messages. `runs` maps a contender's id
 * to its results, one per round.
 */
export function summarise(id, { title, text, unit, table, details, goals }, runs, { messages, rounds }) {
  const rows = Object.entries(runs).map(([contender, results]) => summariseRow(contender, results, details));
  const judged = goals.map((goal) => judge(goal, rows));
  return { id, title, text, unit, table, details, messages, rounds, rows, goals: judged };
}

/** Returns whether the lowest figure of a scenario is the best. */
export const lowerIsBetter = ({ goals }) => goals.some(({ atMost }) => atMost !== undefined);

function summariseRow(id, results, details = {}) {
  const { name, role, version } = contenders[id];
  const row = { id, name: version === undefined ? name : `${name} ${installedVersion(version)}`, role };
  const failed = results.find((result) => result.failed !== undefined);
  if (failed !== undefined) return { ...row, failed: failed.failed };
  const sorted = (figureOf) => results.map(figureOf).sort((one, other) => one - other);
  const values = sorted(({ value }) => value);
  const detail = (key) => [key, median(sorted((result) => result.details[key]))];
  return {
    ...row,
    messages: results[0].messages,
    median: median(values),
    min: values[0],
    max: values.at(-1),
    runs: values.length,
    ...(Object.keys(details).length > 0 && { details: Object.fromEntries(Object.keys(details).map(detail)) }),
  };
}

/** Judges a goal by the figure of sluice, or by its ratio to another contender's figure. */
export function judge(goal, rows) {
  const own = rows.find(({ id }) => id === 'sluice')?.median;
  const other = goal.of === undefined ? undefined : counterpart(goal.of, rows, goal.atMost !== undefined);
  if (own === undefined || (goal.of !== undefined && other?.median === undefined))
    return { ...goal, reached: null, met: null };
  const reached = other === undefined ? own : own / other.median;
  const met = goal.atLeast === undefined ? reached <= goal.atMost : reached >= goal.atLeast;
  return { ...goal, ...(other && { against: other.name }), reached, met };
}

/**
 * Returns the row that a goal is compared with: the best peer, the limit or a contender. The best
 * figure is the highest, or the `lowest`.
 */
export function counterpart(of, rows, lowest = false) {
  if (of === 'limit') return rows.find(({ role }) => role === 'limit');
  if (of !== 'best peer') return rows.find(({ id }) => id === of);
  return rows
    .filter(({ role, median: value }) => role === 'peer' && value !== undefined)
    .sort((one, other) => (lowest ? one.median - other.median : other.median - one.median))[0];
}

function installedVersion(name) {
  return JSON.parse(readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}

import { readFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { contenders } from '../contenders/index.mjs';

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
export function summarise(id, { title, text, unit, table, goals }, runs, { messages, rounds }) {
  const rows = Object.entries(runs).map(([contender, results]) => summariseRow(contender, results));
  return { id, title, text, unit, table, messages, rounds, rows, goals: goals.map((goal) => judge(goal, rows)) };
}

function summariseRow(id, results) {
  const { name, role, version } = contenders[id];
  const row = { id, name: version === undefined ? name : `${name} ${installedVersion(version)}`, role };
  const failed = results.find((result) => result.failed !== undefined);
  if (failed !== undefined) return { ...row, failed: failed.failed };
  const values = results.map(({ value }) => value).sort((one, other) => one - other);
  return {
    ...row,
    messages: results[0].messages,
    median: median(values),
    min: values[0],
    max: values.at(-1),
    runs: values.length,
  };
}

/** Judges a goal by the figure of sluice, or by its ratio to another contender's figure. */
function judge(goal, rows) {
  const own = rows.find(({ id }) => id === 'sluice')?.median;
  const other = goal.of === undefined ? undefined : counterpart(goal.of, rows);
  if (own === undefined || (goal.of !== undefined && other?.median === undefined))
    return { ...goal, reached: null, met: null };
  const reached = other === undefined ? own : own / other.median;
  const met = goal.atLeast === undefined ? reached <= goal.atMost : reached >= goal.atLeast;
  return { ...goal, ...(other && { against: other.name }), reached, met };
}

/** Returns the row that a goal is compared with: the best peer, the limit or a contender. */
export function counterpart(of, rows) {
  if (of === 'limit') return rows.find(({ role }) => role === 'limit');
  if (of !== 'best peer') return rows.find(({ id }) => id === of);
  return rows
    .filter(({ role, median: value }) => role === 'peer' && value !== undefined)
    .sort((one, other) => other.median - one.median)[0];
}

function median(sorted) {
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function installedVersion(name) {
  return JSON.parse(readFileSync(new URL(`../../node_modules/${name}/package.json`, import.meta.url), 'utf8')).version;
}

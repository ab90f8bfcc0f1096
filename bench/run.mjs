/**
 * Runs every scenario with every contender, each in a process of its own, round after round, and writes results.json, results.md and
 * results.svg, and the tables of the README.
 *
 *   node bench/run.mjs [--rounds 7] [--messages 1000000] [--only burst,awaited] [--contenders sluice,limit] [--timeout 60] [--redraw]
 *
 * With `--only` or `--contenders` it writes no files. `--redraw` takes no figures: it writes the files anew from results.json.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { contenders } from './contenders/index.mjs';
import { chart } from './lib/chart.mjs';
import { runChild } from './lib/spawn.mjs';
import { environment, summarise } from './lib/summary.mjs';
import { markdown, textTable } from './lib/tables.mjs';
import { scenarios } from './scenarios/index.mjs';

/** For contenders whose time grows with the square of the backlog. */
const FEWER_MESSAGES = 50_000;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    messages: { type: 'string', default: '1000000' },
    only: { type: 'string' },
    contenders: { type: 'string' },
    timeout: { type: 'string', default: '60' },
    redraw: { type: 'boolean', default: false },
  },
});
const file = (name) => new URL(name, import.meta.url);

if (options.redraw) write(JSON.parse(readFileSync(file('results.json'), 'utf8')));
else {
  const results = measure();
  console.log(textTable(results));
  if (options.only === undefined && options.contenders === undefined) write(results);
}

function write(results) {
  writeFileSync(file('results.json'), `${JSON.stringify(results, null, 2)}\n`);
  writeFileSync(file('results.md'), markdown(results));
  writeFileSync(file('results.svg'), chart(results));
  // The README shows the same tables.
  const readme = readFileSync(file('../README.md'), 'utf8');
  const shown = `<!-- bench -->\n\n${markdown(results)}\n<!-- /bench -->`;
  writeFileSync(
    file('../README.md'),
    readme.replace(/<!-- bench -->.*<!-- \/bench -->/s, () => shown),
  );
}

function measure() {
  if (!existsSync(file('../dist/index.js'))) throw new Error('There is no dist/: run `npm run build` first');
  const [loadBefore] = loadavg();
  const rounds = Number(options.rounds);
  const messages = Number(options.messages);
  const chosen = choose(scenarios, options.only);
  const allowed = Object.keys(choose(contenders, options.contenders));
  const runs = {};
  for (const [id, scenario] of Object.entries(chosen)) {
    runs[id] = Object.fromEntries(scenario.contenders.filter((contender) => allowed.includes(contender)).map((contender) => [contender, []]));
  }
  for (let round = 0; round < rounds; round++) {
    for (const id of Object.keys(chosen)) {
      console.error(`round ${round + 1} of ${rounds}: ${id}`);
      // There and back, so that nobody is always the first.
      const order = Object.keys(runs[id]);
      for (const contender of round % 2 === 0 ? order : order.reverse()) measureOnce(id, contender, messages, runs[id][contender]);
    }
  }
  return {
    environment: environment(loadBefore),
    rounds,
    messages,
    fewerMessages: Math.min(FEWER_MESSAGES, messages),
    scenarios: Object.entries(chosen).map(([id, scenario]) => summarise(id, scenario, runs[id], messagesOf(scenario, messages))),
  };
}

/** Some scenarios take fewer than `--messages`. */
function messagesOf(scenario, messages) {
  return Math.min(scenario.messages ?? messages, messages);
}

/** One more run, unless one has failed already. */
function measureOnce(id, contender, messages, results) {
  if (results.some(({ failed }) => failed !== undefined)) return;
  const usual = messagesOf(scenarios[id], messages);
  const fewer = scenarios[id].fewer?.includes(contender);
  const result = runChild(id, contender, fewer ? Math.min(FEWER_MESSAGES, usual) : usual, Number(options.timeout));
  if (result.failed !== undefined) console.error(`  ${contender}: ${result.failed}`);
  results.push(result);
}

/** The entries that a list with commas names, or all. */
function choose(all, list) {
  if (list === undefined) return all;
  return Object.fromEntries(
    list.split(',').map((id) => {
      if (!Object.hasOwn(all, id)) throw new Error(`There is no "${id}": choose from ${Object.keys(all).join(', ')}`);
      return [id, all[id]];
    }),
  );
}

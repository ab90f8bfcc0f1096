/**
 * Runs every scenario with every contender, each in a process of its own, round after round, and writes results.json, results.md and
 * results.svg, and the tables of the README.
 *
 *   node bench/run.mjs [--rounds 7] [--messages 1000000] [--only burst,redis] [--contenders sluice,limit] [--timeout 60] [--redraw]
 *
 * `--only` takes scenarios, and tables of them: `handlers`, `redis`. Scenarios whose server cannot be started are left out. With `--only` or `--contenders`, or
 * where something was left out, it writes no files. `--redraw` takes no figures: it writes the files anew from results.json.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { contenders } from './contenders/index.mjs';
import { chart } from './lib/chart.mjs';
import { startRedis } from './lib/redis-server.mjs';
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
else await run();

async function run() {
  if (!existsSync(file('../dist/index.js'))) throw new Error('There is no dist/: run `npm run build` first');
  const wanted = choose(scenarios, options.only);
  const redis = Object.values(wanted).some(({ server }) => server === 'redis') ? await startRedis() : undefined;
  const isLeftOut = ({ server }) => server === 'redis' && redis === undefined;
  const leftOut = Object.keys(wanted).filter((id) => isLeftOut(wanted[id]));
  try {
    const results = await measure(Object.fromEntries(Object.entries(wanted).filter(([, scenario]) => !isLeftOut(scenario))), redis);
    console.log(textTable(results));
    if (leftOut.length > 0) console.log(`\nLeft out, since there is no redis-server on the PATH: ${leftOut.join(', ')}. So nothing was written.`);
    else if (options.only === undefined && options.contenders === undefined) write(results);
  } finally {
    await redis?.stop();
  }
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

async function measure(chosen, redis) {
  const [loadBefore] = loadavg();
  const rounds = Number(options.rounds);
  const messages = Number(options.messages);
  const allowed = Object.keys(choose(contenders, options.contenders));
  const runs = {};
  for (const [id, scenario] of Object.entries(chosen)) {
    runs[id] = Object.fromEntries(scenario.contenders.filter((contender) => allowed.includes(contender)).map((contender) => [contender, []]));
  }
  for (let round = 0; round < rounds; round++) {
    for (const [id, scenario] of Object.entries(chosen)) {
      if (round >= roundsOf(scenario, rounds)) continue;
      console.error(`round ${round + 1} of ${rounds}: ${id}`);
      // There and back, so that nobody is always the first.
      const order = Object.keys(runs[id]);
      for (const contender of round % 2 === 0 ? order : order.reverse()) {
        await measureOnce(id, contender, messages, runs[id][contender], scenario.server && redis.url);
      }
    }
  }
  return {
    environment: environment(loadBefore, redis?.version),
    rounds,
    messages,
    fewerMessages: Math.min(FEWER_MESSAGES, messages),
    scenarios: Object.entries(chosen).map(([id, scenario]) =>
      summarise(id, scenario, runs[id], { messages: messagesOf(scenario, messages), rounds: roundsOf(scenario, rounds) }),
    ),
  };
}

/** Some scenarios take fewer than `--messages`. */
function messagesOf(scenario, messages) {
  return Math.min(scenario.messages ?? messages, messages);
}

function roundsOf(scenario, rounds) {
  return Math.min(scenario.rounds ?? rounds, rounds);
}

/** One more run, unless one has failed already. */
async function measureOnce(id, contender, messages, results, url) {
  if (results.some(({ failed }) => failed !== undefined)) return;
  const usual = messagesOf(scenarios[id], messages);
  const fewer = scenarios[id].fewer?.includes(contender);
  const timeout = Math.max(Number(options.timeout), scenarios[id].timeout ?? 0);
  const result = await runChild(id, contender, fewer ? Math.min(FEWER_MESSAGES, usual) : usual, timeout, url);
  if (result.failed !== undefined) console.error(`  ${contender}: ${result.failed}`);
  results.push(result);
}

/** The entries that a list with commas names, by themselves or by their table, or all. */
function choose(all, list) {
  if (list === undefined) return all;
  const names = list.split(',');
  const tables = new Set(Object.values(all).map(({ table }) => table));
  const unknown = names.find((name) => !Object.hasOwn(all, name) && !tables.has(name));
  if (unknown !== undefined) throw new Error(`There is no "${unknown}": choose from ${Object.keys(all).join(', ')}`);
  return Object.fromEntries(Object.entries(all).filter(([id, { table }]) => names.includes(id) || names.includes(table)));
}

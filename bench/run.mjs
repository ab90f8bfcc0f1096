/**
 * Runs every scenario with every contender, each run in its own process, and interleaves the
 * rounds. Writes results.json, results.svg and the tables of docs/benchmarks.md.
 *
 *   node bench/run.mjs [--rounds 7] [--messages 1000000] [--only burst,redis]
 *                      [--contenders sluice,limit] [--timeout 60] [--write] [--redraw]
 *                      [--server nats-2.15]
 *   node bench/run.mjs --quick [--against v1.0.0] [--rounds 9] [--messages 400000] [--only burst]
 *
 * `--only` takes scenarios and tables of scenarios: `handlers`, `latency` and the names of the
 * engines. A scenario whose server is not installed is skipped. With `--only`, with `--contenders`,
 * or if a scenario was skipped, no file is written. `--write` then writes the complete sections and
 * leaves the others unchanged. `--redraw` measures nothing: it writes the files from results.json.
 * `--server` uses a version that `npm run servers` fetched, and writes no files. `--quick` compares
 * the build with that of the last release, or of another commit, in the scenarios of the process,
 * and writes no files.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { checked, fetchServer, pathWith } from '../scripts/servers/fetch.mjs';
import { contenders } from './contenders/index.mjs';
import { chart } from './lib/chart.mjs';
import { choose, IN_PROCESS, sectionsOf } from './lib/choice.mjs';
import { quick } from './lib/quick.mjs';
import { servers, startIfInstalled } from './lib/servers/index.mjs';
import { runChild } from './lib/spawn.mjs';
import { environment, summarise } from './lib/summary.mjs';
import { markdown, textTable } from './lib/tables.mjs';
import { scenarios } from './scenarios/index.mjs';

const ROUNDS = 7;
const MESSAGES = 1_000_000;
/** The number of messages for contenders whose time grows with the square of the backlog. */
const FEWER_MESSAGES = 50_000;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string' },
    messages: { type: 'string' },
    only: { type: 'string' },
    contenders: { type: 'string' },
    timeout: { type: 'string', default: '60' },
    write: { type: 'boolean', default: false },
    redraw: { type: 'boolean', default: false },
    server: { type: 'string' },
    quick: { type: 'boolean', default: false },
    against: { type: 'string' },
  },
});
/** Returns the value of an option that is a number. */
const number = (name, otherwise) => (options[name] === undefined ? otherwise : Number(options[name]));
const file = (name) => new URL(name, import.meta.url);

if (options.redraw) write(readResults());
else if (options.quick) await compare();
else await run();

function checkBuild() {
  if (!existsSync(file('../dist/index.js'))) throw new Error('There is no dist/: run `npm run build` first');
}

async function compare() {
  checkBuild();
  const { [IN_PROCESS]: chosen } = sectionsOf(choose(scenarios, options.only));
  if (chosen === undefined)
    throw new Error(`--quick compares ${Object.keys(sectionsOf(scenarios)[IN_PROCESS]).join(', ')}`);
  await quick(chosen, {
    against: options.against,
    rounds: number('rounds'),
    messages: number('messages'),
    timeout: number('timeout'),
  });
}

async function run() {
  if (options.server !== undefined) await takeServer(options.server);
  checkBuild();
  const sections = {};
  const leftOut = [];
  for (const [name, chosen] of Object.entries(sectionsOf(choose(scenarios, options.only)))) {
    const results = servers[name] === undefined ? await measure(chosen) : await measureOn(servers[name], chosen);
    if (results === undefined) {
      leftOut.push(name);
      console.log(`SKIPPED, since ${servers[name].command} is not on the PATH: ${Object.keys(chosen).join(', ')}\n`);
    } else {
      sections[name] = results;
      console.log(`${textTable(results)}\n`);
    }
  }
  const whole = Object.entries(sections).filter(([name]) => isWhole(name));
  if (options.server !== undefined) return;
  if (options.write && whole.length > 0) write({ ...readResults(), ...Object.fromEntries(whole) });
  else if (leftOut.length > 0) console.log('Some scenarios or contenders were left out. No file was written.');
  else if (options.only === undefined && options.contenders === undefined) write(sections);
}

/** Puts a fetched version of a server first on the PATH. */
async function takeServer(name) {
  checked([name]);
  const { reason } = await fetchServer(name);
  if (reason !== undefined) throw new Error(`${name} is not available: ${reason}`);
  process.env.PATH = pathWith(name);
}

/** Returns whether the options left nothing of a section out. */
function isWhole(name) {
  const all = sectionsOf(scenarios)[name];
  return (
    options.contenders === undefined &&
    Object.keys(sectionsOf(choose(scenarios, options.only))[name]).length === Object.keys(all).length
  );
}

function readResults() {
  return JSON.parse(readFileSync(file('results.json'), 'utf8'));
}

function write(sections) {
  const inOrder = Object.keys(sectionsOf(scenarios)).filter((name) => sections[name] !== undefined);
  const results = Object.fromEntries(inOrder.map((name) => [name, sections[name]]));
  writeFileSync(file('results.json'), `${JSON.stringify(results, null, 2)}\n`);
  if (results[IN_PROCESS] !== undefined) writeFileSync(file('results.svg'), chart(results[IN_PROCESS]));
  let page = readFileSync(file('../docs/benchmarks.md'), 'utf8');
  for (const name of inOrder) {
    const marker = name === IN_PROCESS ? 'bench' : `bench ${name}`;
    page = page.replace(
      new RegExp(`<!-- ${marker} -->.*<!-- /${marker} -->`, 's'),
      () => `<!-- ${marker} -->\n\n${markdown(results[name])}\n<!-- /${marker} -->`,
    );
  }
  writeFileSync(file('../docs/benchmarks.md'), page);
}

/** Resolves to `undefined` if the server is not installed. */
async function measureOn(kind, chosen) {
  const server = await startIfInstalled(kind);
  if (server === undefined) return undefined;
  try {
    return await measure(chosen, server, `${kind.title} ${server.version}`);
  } finally {
    await server.stop();
  }
}

async function measure(chosen, server, serverName) {
  const [loadBefore] = loadavg();
  const atMost = { rounds: number('rounds', ROUNDS), messages: number('messages') };
  const all = Object.values(chosen);
  const rounds = Math.max(...all.map((scenario) => roundsOf(scenario, atMost.rounds)));
  const messages = Math.max(...all.map((scenario) => messagesOf(scenario, atMost.messages)));
  const allowed = Object.keys(choose(contenders, options.contenders));
  const runs = {};
  for (const [id, scenario] of Object.entries(chosen)) {
    runs[id] = Object.fromEntries(
      scenario.contenders.filter((contender) => allowed.includes(contender)).map((contender) => [contender, []]),
    );
  }
  for (let round = 0; round < rounds; round++) {
    for (const [id, scenario] of Object.entries(chosen)) {
      if (round >= roundsOf(scenario, rounds)) continue;
      console.error(`round ${round + 1} of ${rounds}: ${id}`);
      // Alternate the order, so that no contender always comes first.
      const order = Object.keys(runs[id]);
      for (const contender of round % 2 === 0 ? order : order.reverse()) {
        await measureOnce(id, contender, atMost.messages, runs[id][contender], server);
      }
    }
  }
  return {
    environment: environment(loadBefore, serverName),
    rounds,
    messages,
    fewerMessages: Math.min(FEWER_MESSAGES, messages),
    scenarios: Object.entries(chosen).map(([id, scenario]) =>
      summarise(id, scenario, runs[id], {
        messages: messagesOf(scenario, atMost.messages),
        rounds: roundsOf(scenario, rounds),
      }),
    ),
  };
}

/** Returns the number of messages of a scenario, at most `--messages`. */
function messagesOf(scenario, atMost = scenario.messages ?? MESSAGES) {
  return Math.min(scenario.messages ?? atMost, atMost);
}

function roundsOf(scenario, rounds) {
  return Math.min(scenario.rounds ?? rounds, rounds);
}

/** Measures another run, unless a run has failed already. */
async function measureOnce(id, contender, messages, results, server) {
  if (results.some(({ failed }) => failed !== undefined)) return;
  const usual = messagesOf(scenarios[id], messages);
  const fewer = scenarios[id].fewer?.includes(contender);
  const timeout = Math.max(number('timeout'), scenarios[id].timeout ?? 0);
  const count = fewer ? Math.min(FEWER_MESSAGES, usual) : usual;
  const result = await runChild(id, contender, count, { timeout, server });
  if (result.failed !== undefined) {
    console.error(`  ${contender}: ${result.failed}`);
    if (contenders[contender].role === 'own') process.exitCode = 1;
  }
  results.push(result);
}

/**
 * Prints the size of the house: each figure at the base commit, now, and its goal. `npm run
 * measure` builds first, for the calls of a message, which need `redis-server` too. The rules are
 * in `scripts/lib/house-rules.mjs`; `--files` also prints the files or names that each rule counts.
 *
 *   node scripts/measure-house.mjs [--files] [--base-dist DIST]
 *
 * `--base-dist` names the `dist` folder of a build of the base commit, to count its calls.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { engines } from './lib/engines.mjs';
import * as rules from './lib/house-rules.mjs';
import { filesNow, filesOf } from './lib/revision.mjs';

const BASE = 'df88d6d';

/** The server that counts the calls. */
const [REDIS] = Object.keys(engines.find(({ name }) => name === 'redis').servers);

const { values: options } = parseArgs({
  options: { files: { type: 'boolean', default: false }, 'base-dist': { type: 'string' } },
});

const base = filesOf(BASE);
const now = filesNow();

/** The engines that exist at both revisions. A new engine does not count as growth. */
const both = engines.map(({ name }) => name).filter((name) => base === undefined || hasFolder(base, name));

/** The name that has no other meaning: `redis` and `nats` also name clients, URLs and commands. */
const named = both.at(-1);

function hasFolder(files, name) {
  return [...files.keys()].some((file) => file.startsWith(`src/${name}/`));
}

const EXAMPLE = 'examples/third-party-backend.ts';

const measures = [
  [`lines of the core and of ${both.join(', ')}`, '7000', (files) => rules.lines(files, ['core', 'broker', ...both])],
  [
    'lines of a third-party backend, examples/third-party-backend.ts',
    '220',
    (files) => rules.fileLines(files, EXAMPLE),
  ],
  ['files of src that one more field of a message changes', '8', rules.filesOfCarriedField],
  ['files of src that one more kind of settlement changes', '9', rules.filesOfSettlement],
  ['files of src that a counter of reconnects, confirms and failed publishes changes', '3', rules.filesOfCounter],
  ['places outside its folders that name an engine', '12', (files) => rules.placesThatName(files, named)],
  ['classes that are a delivery', '2', rules.deliveryClasses],
  ['lines of README.md', '250', (files) => rules.fileLines(files, 'README.md')],
];

const show = (result) => String(Array.isArray(result) ? result.length : (result ?? '–'));
const listed = (result) => (Array.isArray(result) ? result.map((each) => each.fileName ?? each) : []);

const print = (...cells) =>
  console.log(cells.map((cell, index) => (index === 0 ? cell.padEnd(84) : cell.padStart(14))).join(''));

/** Reports a rule that no longer matches the code, without affecting the other figures. */
function apply(rule, files) {
  if (files === undefined) return undefined;
  try {
    return rule(files);
  } catch (error) {
    console.error(error.message);
    return undefined;
  }
}

print('', BASE, 'now', 'goal');
for (const [title, goal, rule] of measures) {
  const result = apply(rule, now);
  print(title, show(apply(rule, base)), show(result), goal);
  if (options.files) for (const each of listed(result)) console.log(`    ${each}`);
}

const calls = await countCalls();
print('calls, functions and files of one message on Redis, publish to confirmed ack', calls.base, calls.now, 'half');

/** Counts the calls of the builds on a temporary server. */
async function countCalls() {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-measure-'));
  const socket = path.join(folder, 'redis.sock');
  const server = spawn(REDIS, ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', folder], {
    stdio: 'ignore',
  });
  let failed = false;
  server.on('error', () => {
    failed = true;
  });
  try {
    while (!existsSync(socket) && !failed) await new Promise((resolve) => setTimeout(resolve, 20));
    const of = (dist) => (failed || dist === undefined || !existsSync(dist) ? '–' : callsOf(dist, `unix://${socket}`));
    return { base: of(options['base-dist']), now: of('dist') };
  } finally {
    server.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

function callsOf(dist, url) {
  const script = path.join(import.meta.dirname, 'calls-of-a-message.mjs');
  const { stdout, stderr } = spawnSync(process.execPath, [script, dist, url], { encoding: 'utf8', timeout: 120_000 });
  try {
    const { calls, functions, files } = JSON.parse(stdout);
    return `${calls}, ${functions}, ${files}`;
  } catch {
    console.error(stderr);
    return '–';
  }
}

/**
 * Checks the files that repeat the table of engines: `package.json`, the table of the loader, and
 * the documentation. With `--write` (`npm run engines`), writes `package.json` and the table of the
 * loader.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { engines } from './lib/engines.mjs';
import { loaderTable, manifestWith } from './lib/written-from-engines.mjs';

const write = process.argv.includes('--write');
const read = (file) => readFileSync(file, 'utf8');
const problems = [];

const written = {
  'package.json': `${JSON.stringify(manifestWith(engines, JSON.parse(read('package.json'))), null, 2)}\n`,
  'src/loader/engines.ts': loaderTable(engines),
};

for (const [file, text] of Object.entries(written)) {
  if (existsSync(file) && read(file) === text) continue;
  if (write) writeFileSync(file, text);
  else problems.push(`${file} does not match engines.json. Run \`npm run engines\`.`);
}

const { devDependencies } = JSON.parse(read('package.json'));

for (const { name, title, guide, peers } of engines) {
  const parts = [
    `src/${name}/index.ts`,
    `spec/${name}/integration/broker.ts`,
    `bench/${name}/index.mjs`,
    `bench/${name}/server.mjs`,
  ];
  for (const file of [...parts, guide]) if (!existsSync(file)) problems.push(`${title} needs ${file}.`);
  for (const peer of Object.keys(peers))
    if (devDependencies[peer] === undefined) problems.push(`${title} needs ${peer} among the devDependencies.`);
  for (const page of ['README.md', 'docs/guides/choosing-an-engine.md'])
    if (!read(page).includes(title)) problems.push(`${page} must mention ${title}.`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;

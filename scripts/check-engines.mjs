/**
 * Checks the files that repeat the table of engines: `package.json`, the table of the loader, and the documentation. With `--write` (`npm run engines`), writes
 * `package.json` and the table of the loader.
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

for (const { name, title, guide } of engines) {
  for (const folder of ['src', 'spec', 'bench'])
    if (!existsSync(`${folder}/${name}/`)) problems.push(`${title} needs a folder ${folder}/${name}.`);
  if (!existsSync(guide)) problems.push(`${title} needs its guide, ${guide}.`);
  for (const page of ['README.md', 'docs/guides/choosing-an-engine.md'])
    if (!read(page).includes(title)) problems.push(`${page} must mention ${title}.`);
}

for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;

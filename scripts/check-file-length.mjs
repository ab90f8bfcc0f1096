/** Fails if a source file has too many lines. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const MOST_LINES = 400;

/** What is installed or generated in `site`. */
const NOT_OURS = /[\\/](node_modules|generated|api|cache|dist)[\\/]/;

const filesIn = (folder) =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));

const sourcesOfSite = filesIn('site').filter((file) => /\.(ts|vue|mjs|css)$/.test(file) && !NOT_OURS.test(file));

const tooLong = [...['src', 'spec'].flatMap(filesIn), ...sourcesOfSite]
  .map((file) => ({ file, lines: readFileSync(file, 'utf8').trimEnd().split('\n').length }))
  .filter(({ lines }) => lines > MOST_LINES);

for (const { file, lines } of tooLong) console.error(`${file} has ${lines} lines, the maximum is ${MOST_LINES}`);
if (tooLong.length > 0) process.exitCode = 1;

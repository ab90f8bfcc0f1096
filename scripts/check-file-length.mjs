/** Fails if a source file has too many lines. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const MOST_LINES = 400;

const tooLong = ['src', 'spec']
  .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
  .filter((entry) => entry.isFile())
  .map((entry) => path.join(entry.parentPath, entry.name))
  .map((file) => ({ file, lines: readFileSync(file, 'utf8').trimEnd().split('\n').length }))
  .filter(({ lines }) => lines > MOST_LINES);

for (const { file, lines } of tooLong) console.error(`${file} has ${lines} lines, the maximum is ${MOST_LINES}`);
if (tooLong.length > 0) process.exitCode = 1;

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';

function git(args, input) {
  const { status, stdout } = spawnSync('git', args, { input, maxBuffer: 256 * 1024 * 1024 });
  return status === 0 ? stdout : undefined;
}

/**
 * Reads the text files of a commit, by path. Returns undefined if the history does not contain the
 * commit.
 */
export function filesOf(commit) {
  const listed = git(['ls-tree', '-r', '--name-only', '-z', commit]);
  if (listed === undefined) return undefined;
  const paths = listed.toString().split('\0').slice(0, -1);
  const contents = git(['cat-file', '--batch'], paths.map((path) => `${commit}:${path}\n`).join(''));
  const files = new Map();
  let at = 0;
  for (const path of paths) {
    const start = contents.indexOf('\n', at) + 1;
    const end = start + Number(contents.toString('latin1', at, start).trim().split(' ').at(-1));
    files.set(path, contents.toString('utf8', start, end));
    at = end + 1;
  }
  return files;
}

/** Reads the text files of the working tree, by path. */
export function filesNow() {
  const paths = git(['ls-files', '--cached', '--others', '--exclude-standard', '-z'])
    .toString()
    .split('\0')
    .slice(0, -1);
  return new Map(paths.filter(existsSync).map((path) => [path, readFileSync(path, 'utf8')]));
}

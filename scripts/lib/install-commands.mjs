/** Installs commands that the tests start. */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import path from 'node:path';

/**
 * How to install a command.
 *
 * @typedef {object} Packages
 * @property {string[]} [names] The names that the command may have. Default: the key of the table.
 * @property {string} apt The package of Debian and Ubuntu.
 * @property {string} brew The package of Homebrew.
 * @property {string} dnf The package of Fedora.
 * @property {string} docs Where to read about other systems.
 */

/**
 * The script that tells Debian packages whether they may start a service. The spec uses another
 * path.
 */
const policy = process.env.SLUICE_POLICY_RC_D ?? '/usr/sbin/policy-rc.d';

function entries(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/**
 * Some servers are in `sbin`, which is not on the PATH of every user, and those of PostgreSQL on
 * Debian in a folder for each version, which is on no PATH. The tests look there too.
 */
function besideBin(folder) {
  if (path.basename(folder) !== 'bin') return [folder];
  const home = path.join(folder, '../lib/postgresql');
  return [folder, path.join(folder, '../sbin'), ...entries(home).map((version) => path.join(home, version, 'bin'))];
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}

function found(command) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).map((folder) => folder || '.');
  return folders.flatMap(besideBin).some((folder) => isExecutable(path.join(folder, command)));
}

/** Returns the prefix that runs a command as root, or `undefined` if this user may not. */
function asRoot() {
  if (spawnSync('id', ['-u'], { encoding: 'utf8' }).stdout?.trim() === '0') return [];
  return process.argv.includes('--install') && found('sudo') ? ['sudo'] : undefined;
}

/**
 * Root runs this script. The tests start their own servers, so no service may start: a policy
 * forbids it during the installation, unless the machine already has a policy. If `update` fails,
 * the old lists may do. If apt-get does not know one of the packages, it refuses all of them, so
 * each package is then installed alone.
 */
const INSTALL = `
policy=$1; shift
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 1' HUP INT TERM
  printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy" || exit 1
fi
export DEBIAN_FRONTEND=noninteractive
options='-q -o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20'
apt-get $options update
apt-get $options install --yes --no-install-recommends "$@" && exit
[ $# -gt 1 ] || exit 1
failed=0
for package; do
  apt-get $options install --yes --no-install-recommends "$package" || failed=1
done
exit $failed
`;

function install(prefix, packages) {
  const [command, ...args] = [...prefix, 'sh', '-c', INSTALL, 'install', policy, ...packages];
  // sudo asks for the password on the terminal.
  const stdin = prefix.length > 0 ? 'inherit' : 'ignore';
  return spawnSync(command, args, { stdio: [stdin, 'inherit', 'inherit'] }).status === 0;
}

function instructions(command, { apt, brew, dnf, docs }) {
  return [
    `${command} was not found: its tests are skipped, or fail if CI=true. To install it:`,
    `  Debian, Ubuntu  sudo apt-get install --no-install-recommends ${apt}`,
    `  macOS           brew install ${brew}`,
    `  Fedora          sudo dnf install ${dnf}`,
    `  elsewhere       ${docs}`,
  ].join('\n');
}

/**
 * Installs the missing commands of a table. Root, as in CI and in containers, gets them from
 * apt-get. Any other user gets instructions: sudo runs only with the argument `--install`. It never
 * fails.
 *
 * @param {Record<string, Packages>} table
 * @param {string} hint what another user reads first, such as which command runs sudo
 */
export function installMissing(table, hint) {
  const missingCommands = () => Object.entries(table).filter(([name, { names = [name] }]) => !names.some(found));
  const missing = missingCommands();
  if (missing.length === 0) return;

  if (found('apt-get')) {
    const prefix = asRoot();
    const packages = missing.map(([, { apt }]) => apt);
    if (prefix === undefined) {
      console.warn(hint);
    } else {
      console.log(`Installing ${packages.join(', ')} for the tests, without starting a service.`);
      if (!install(prefix, packages)) console.warn(`apt-get could not install all of ${packages.join(', ')}.`);
    }
  }

  for (const [command, packages] of missingCommands()) console.warn(instructions(command, packages));
}

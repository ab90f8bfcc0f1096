/**
 * Installs the message brokers that the tests start. Root, as in CI and in containers, gets the
 * missing ones from apt-get. Any other user gets the commands: this script runs sudo only with
 * `--install` (`npm run brokers`). It never fails. A suite without its broker is skipped with a
 * warning, and fails if `CI` is `true`.
 *
 * `npm test` runs it first; `npm test --ignore-scripts` does not.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { engines } from './lib/engines.mjs';

/** The commands that the tests need, with their packages. */
const brokers = Object.assign({}, ...engines.map(({ servers }) => servers));

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

function found(command) {
  const folders = (process.env.PATH ?? '').split(path.delimiter).map((folder) => folder || '.');
  return folders.flatMap(besideBin).some((folder) => {
    const file = path.join(folder, command);
    try {
      accessSync(file, constants.X_OK);
      return statSync(file).isFile();
    } catch {
      return false;
    }
  });
}

const missingCommands = () => Object.keys(brokers).filter((command) => !found(command));

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

function instructions(command) {
  const { apt, brew, dnf, docs } = brokers[command];
  return [
    `${command} was not found: its tests are skipped, or fail if CI=true. To install it:`,
    `  Debian, Ubuntu  sudo apt-get install --no-install-recommends ${apt}`,
    `  macOS           brew install ${brew}`,
    `  Fedora          sudo dnf install ${dnf}`,
    `  elsewhere       ${docs}`,
  ].join('\n');
}

const missing = missingCommands();

if (missing.length > 0 && found('apt-get')) {
  const prefix = asRoot();
  const packages = missing.map((command) => brokers[command].apt);
  if (prefix === undefined) {
    console.warn('Some message brokers are missing. `npm run brokers` installs them; it uses sudo.');
  } else {
    console.log(`Installing ${packages.join(', ')} for the tests, without starting a service.`);
    if (!install(prefix, packages)) console.warn(`apt-get could not install all of ${packages.join(', ')}.`);
  }
}

for (const command of missing.length > 0 ? missingCommands() : []) console.warn(instructions(command));

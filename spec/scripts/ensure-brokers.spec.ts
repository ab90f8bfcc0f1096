import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { engines } from '../support/engines.js';
import { ROOT } from '../support/root.js';

const SCRIPTS = path.join(ROOT, 'scripts');

/** The real commands that the script needs. All others are fakes. */
const REAL = ['sh', 'rm', 'chmod', 'touch', 'mkdir', 'env'];

const BROKERS = engines.flatMap(({ servers }) => Object.keys(servers));

const PACKAGES = engines.flatMap(({ servers }) => Object.values(servers).map(({ apt }) => apt));

/**
 * An `apt-get` that logs its calls and the policy at that moment. An installation creates the
 * commands, unless one is unknown. The command of PostgreSQL is on no PATH.
 */
const APT_GET = `
echo "$DEBIAN_FRONTEND: $*" >>"$FAKES/../asked"
case "$*" in *install*) sh "$SLUICE_POLICY_RC_D"; echo "policy says $?" >>"$FAKES/../asked";; esac
[ ! -e "$FAKES/../no-network" ] || exit 100
case "$*" in *install*nats-server*) [ ! -e "$FAKES/../no-nats" ] || exit 100;; esac
create() { mkdir -p "$1"; touch "$1/$2"; chmod 755 "$1/$2"; }
case "$*" in *install*) for word; do case "$word" in
  postgresql) create "$FAKES/../lib/postgresql/15/bin" postgres;;
  *-server|*-sentinel|pgbouncer|chromium) create "$FAKES" "$word";;
esac; done;; esac`;

describe('Scripts that install what the tests start', () => {
  let folder: string;
  let fakes: string;
  let policy: string;

  const fake = (name: string, body: string) =>
    writeFile(path.join(fakes, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });

  /** Runs a script with only the fakes on the PATH. */
  const runScript = (script: string, args: readonly string[], variables = {}) =>
    new Promise<{ code: number; output: string }>((resolve) => {
      const env = { PATH: fakes, FAKES: fakes, SLUICE_POLICY_RC_D: policy, CI: 'true', ...variables };
      const child = execFile(
        process.execPath,
        [path.join(SCRIPTS, script), ...args],
        { env },
        (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
      );
    });

  const run = (...args: readonly string[]) => runScript('ensure-brokers.mjs', args);

  const asked = async () => {
    const file = path.join(folder, 'asked');
    return existsSync(file) ? (await readFile(file, 'utf8')).trimEnd().split('\n') : [];
  };

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-brokers-'));
    fakes = path.join(folder, 'bin');
    policy = path.join(folder, 'policy-rc.d');
    await mkdir(fakes);
    for (const name of REAL) {
      const file = ['/usr/bin', '/bin'].map((place) => path.join(place, name)).find(existsSync);
      await symlink(String(file), path.join(fakes, name));
    }
    await fake('id', 'echo 0');
    await fake('apt-get', APT_GET);
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('prints nothing and runs nothing if all servers are installed', async () => {
    for (const broker of BROKERS) await fake(broker, '');
    await fake('id', 'echo "asked who I am" >>"$FAKES/../asked"');
    expect(await run()).toEqual({ code: 0, output: '' });
    expect(await asked()).toEqual([]);
  });

  it('finds a server in `sbin` beside a `bin` on the PATH', async () => {
    await mkdir(path.join(folder, 'sbin'));
    for (const broker of BROKERS) await fake(`../sbin/${broker}`, '');
    expect(await run()).toEqual({ code: 0, output: '' });
  });

  it('does not install what is already there', async () => {
    await fake('redis-server', '');
    const { output } = await run();
    expect(output).toContain(
      `Installing ${PACKAGES.filter((name) => name !== 'redis-server').join(', ')} for the tests`,
    );
    expect((await asked()).join()).not.toMatch(/redis-server/);
  });

  it('installs missing servers as root, without questions, recommendations or services', async () => {
    const { code, output } = await run();
    expect(code).toBe(0);
    expect(output).toContain(`Installing ${PACKAGES.join(', ')} for the tests`);
    expect(output).not.toMatch(/not found/);
    const [update, install, policyThen, ...more] = await asked();
    expect(update).toMatch(/^noninteractive: .* update$/);
    expect(install).toMatch(/^noninteractive: /);
    expect(install?.endsWith(` install --yes --no-install-recommends ${PACKAGES.join(' ')}`)).toBe(true);
    expect(policyThen).toBe('policy says 101');
    expect(more).toEqual([]);
    expect(existsSync(policy)).toBe(false);
  });

  it('keeps an existing policy file', async () => {
    await writeFile(policy, '#!/bin/sh\nexit 7\n');
    await run();
    expect(await asked()).toContain('policy says 7');
    expect(await readFile(policy, 'utf8')).toBe('#!/bin/sh\nexit 7\n');
  });

  it('never runs sudo by default but prints what to do', async () => {
    await fake('id', 'echo 1000');
    await fake('sudo', 'echo sudo >>"$FAKES/../asked"');
    const { code, output } = await run();
    expect(code).toBe(0);
    expect(output).toMatch(/`npm run brokers` installs them; it uses sudo/);
    expect(output).toMatch(/sudo apt-get install --no-install-recommends redis-server/);
    expect(await asked()).toEqual([]);
  });

  it('runs sudo with --install', async () => {
    await fake('id', 'echo 1000');
    await fake('sudo', 'echo "sudo $1" >>"$FAKES/../asked"; exec "$@"');
    const { code, output } = await run('--install');
    expect(code).toBe(0);
    expect(output).not.toMatch(/not found/);
    expect((await asked()).filter((line) => line.startsWith('sudo'))).toEqual(['sudo sh']);
  });

  it('prints what to do if there is no sudo', async () => {
    await fake('id', 'echo 1000');
    const { code, output } = await run('--install');
    expect(code).toBe(0);
    expect(output).toMatch(/sudo apt-get install --no-install-recommends redis-server/);
    expect(await asked()).toEqual([]);
  });

  it('does not fail if the installation fails, and leaves no policy file behind', async () => {
    await writeFile(path.join(folder, 'no-network'), '');
    const { code, output } = await run();
    expect(code).toBe(0);
    expect(output).toMatch(/could not install all of redis-server/);
    for (const broker of BROKERS) expect(output).toContain(`${broker} was not found`);
    expect(existsSync(policy)).toBe(false);
  });

  it('installs the other servers if apt-get does not know one', async () => {
    await writeFile(path.join(folder, 'no-nats'), '');
    const { code, output } = await run();
    expect(code).toBe(0);
    expect(output.match(/\S+(?= was not found)/g)).toEqual(['nats-server']);
    expect(await asked()).toContain('policy says 101');
    expect(existsSync(policy)).toBe(false);
  });

  it('prints what to install if there is no apt-get', async () => {
    await rm(path.join(fakes, 'apt-get'));
    const { code, output } = await run();
    expect(code).toBe(0);
    expect(output).toMatch(
      /redis-server was not found[\s\S]*brew install redis[\s\S]*dnf install redis[\s\S]*https:\/\//,
    );
    expect(await asked()).toEqual([]);
  });

  it('installs Chromium in the same way, with its own script', async () => {
    const { code, output } = await runScript('ensure-chromium.mjs', []);
    expect(code).toBe(0);
    expect(output).toContain('Installing chromium for the tests');
    expect(output).not.toMatch(/not found/);
    const [, install] = await asked();
    expect(install?.endsWith(' install --yes --no-install-recommends chromium')).toBe(true);
  });

  it.each(['chromium', 'google-chrome'])('is content with %s', async (name) => {
    await fake(name, '');
    expect(await runScript('ensure-chromium.mjs', [])).toEqual({ code: 0, output: '' });
    expect(await asked()).toEqual([]);
  });

  it('is content with the browser that CHROMIUM names', async () => {
    expect(await runScript('ensure-chromium.mjs', [], { CHROMIUM: '/opt/browser' })).toEqual({ code: 0, output: '' });
    expect(await asked()).toEqual([]);
  });

  it('does not install Chromium for the tests of the library', async () => {
    const { output } = await run();
    expect(output).not.toMatch(/chromium/);
  });
});

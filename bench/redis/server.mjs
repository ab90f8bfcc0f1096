import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { startServer } from '../lib/servers/start.mjs';

/** The size of the append-only file, in bytes, above which it is rewritten between two runs. */
const LONGEST_FILE = 256 * 1024 * 1024;

/**
 * Confirmed data is on the disk. The file is not rewritten automatically, since that could happen
 * during a run.
 */
const SETTINGS = ['--save', '', '--appendonly', 'yes', '--appendfsync', 'always', '--auto-aof-rewrite-percentage', '0'];

export const start = (file) => startServer(file, launch, versionOf);

/** Empties the server before a run, outside the measured time. */
export async function empty(url) {
  const client = await createClient({ url }).connect();
  await client.sendCommand(['FLUSHALL', 'SYNC']);
  const persistence = () => client.info('persistence');
  if (Number(/aof_current_size:(\d+)/.exec(await persistence())?.[1]) > LONGEST_FILE) {
    await client.sendCommand(['BGREWRITEAOF']);
    while (!/aof_rewrite_in_progress:0[\s\S]*aof_rewrite_scheduled:0/.test(await persistence())) await sleep(50);
  }
  client.destroy();
}

function launch({ folder, port }) {
  return {
    url: `redis://127.0.0.1:${port}`,
    args: ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, ...SETTINGS],
  };
}

async function versionOf(url) {
  const client = createClient({ url, socket: { reconnectStrategy: false } }).on('error', () => {});
  try {
    await client.connect();
    return /redis_version:(\S+)/.exec(await client.info('server'))?.[1];
  } finally {
    if (client.isOpen) client.destroy();
  }
}

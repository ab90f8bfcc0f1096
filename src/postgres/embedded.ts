import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { FatalError } from '../core/engine-errors.js';
import { processWide } from '../internal/process-wide.js';
import { embeddedIn } from './options.js';
import type { Queryable } from './queryable.js';

interface Shared {
  readonly client: Promise<Queryable & { close(): Promise<void> }>;
  readonly unlock: () => void;
  users: number;
  /** Resolves when the database has closed. */
  closed?: Promise<void>;
}

/** The embedded databases of this process. Backends of one folder share one. */
const databases = processWide('embedded databases', () => new Map<string, Shared>());

const MEMORY = 'memory';

/**
 * Opens an embedded PostgreSQL. The one in memory lives until the process ends. One in a folder is
 * closed when all its users have released it.
 * @throws {FatalError} (a rejection) if another process uses the folder, or PGlite does not start
 */
export async function openEmbedded(folder: string): Promise<{ client: Queryable; release: () => Promise<void> }> {
  try {
    const place = folder === MEMORY ? folder : folderOf(folder);
    for (let last = databases.get(place); last?.closed; last = databases.get(place)) await last.closed;
    const shared = databases.get(place) ?? start(place);
    shared.users += 1;
    return { client: await shared.client, release: () => release(place, shared) };
  } catch (error) {
    throw new FatalError((error as Error).message, { cause: error });
  }
}

/** Whether the embedded database of a URL exists. `true` for any other URL. */
export function existsEmbedded(url: string): boolean {
  const folder = embeddedIn(url);
  if (folder === undefined || folder === MEMORY) return true;
  return existsSync(dataIn(folder));
}

function start(place: string): Shared {
  const unlock = place === MEMORY ? () => {} : lock(place);
  const client = import('@electric-sql/pglite').then(({ PGlite }) =>
    PGlite.create(place === MEMORY ? undefined : dataIn(place)),
  );
  const shared = { client, unlock, users: 0 };
  databases.set(place, shared);
  client.catch(() => {
    databases.delete(place);
    unlock();
  });
  return shared;
}

async function release(place: string, shared: Shared): Promise<void> {
  shared.users -= 1;
  if (place === MEMORY || shared.users > 0) return;
  const closing = shared.client.then((client) => client.close()).catch(() => {});
  shared.closed = closing.then(() => {
    databases.delete(place);
    shared.unlock();
  });
  await shared.closed;
}

function dataIn(folder: string): string {
  return path.join(folder, 'data');
}

function folderOf(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return realpathSync(folder);
}

/** Locks a folder. PGlite does not: two processes would corrupt it. Returns how to unlock it. */
function lock(folder: string): () => void {
  const own = `lock-${process.pid}@${hostname()}`;
  const unlock = () => rmSync(path.join(folder, own), { force: true });
  if (readdirSync(folder).includes(own)) removeStale(folder, own);
  writeFileSync(path.join(folder, own), '', { flag: 'wx' });
  try {
    // Each process has a file of its own, and looks for others after it: two never miss each other.
    for (const name of readdirSync(folder)) if (name !== own) removeStale(folder, name);
  } catch (error) {
    unlock();
    throw error;
  }
  return unlock;
}

function removeStale(folder: string, name: string): void {
  const [, pid, host] = /^lock-(\d+)@(.*)$/.exec(name) ?? [];
  if (pid === undefined) return;
  const file = path.join(folder, name);
  const lockedAt = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (host !== hostname() || isAlive(Number(pid), lockedAt))
    throw new Error(
      `Process ${pid} on ${host} uses the folder ${folder}: an embedded database has one process at a time. If there is no such process, delete ${file}`,
    );
  rmSync(file, { force: true });
}

/** Whether a process lives that locked a folder at some time. */
function isAlive(pid: number, lockedAt: number): boolean {
  // A container that restarts gives its processes the same numbers again.
  if (pid === process.pid) return lockedAt >= Date.now() - process.uptime() * 1000;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

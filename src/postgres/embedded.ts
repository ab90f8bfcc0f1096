import { closeSync, mkdirSync, openSync, readFileSync, realpathSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import { FatalError } from '../core/engine-errors.js';
import { processWide } from '../internal/process-wide.js';
import { missing, type Queryable } from './queryable.js';

interface Shared {
  readonly client: Promise<Queryable & { close(): Promise<void> }>;
  users: number;
}

/** The embedded databases of this process. Backends of one folder share one. */
const databases = processWide('embedded databases', () => new Map<string, Shared>());

const LOCK = 'sluice.lock';

/**
 * Opens an embedded PostgreSQL. The one in memory lives until the process ends. One in a folder is
 * closed when all its users have released it.
 * @throws {FatalError} (a rejection) if another process uses the folder
 */
export async function openEmbedded(folder: string): Promise<{ client: Queryable; release: () => void }> {
  const isInMemory = folder === 'memory';
  const place = isInMemory ? folder : folderOf(folder);
  let shared = databases.get(place);
  if (shared === undefined) {
    const unlock = isInMemory ? undefined : lock(place);
    const client = start(isInMemory ? undefined : path.join(place, 'data'));
    shared = { client, users: 0 };
    databases.set(place, shared);
    client.catch(() => {
      databases.delete(place);
      unlock?.();
    });
  }
  const { client } = shared;
  shared.users += 1;
  const release = () => {
    shared.users -= 1;
    if (isInMemory || shared.users > 0) return;
    databases.delete(place);
    void client.then((database) => database.close()).finally(() => rmSync(path.join(place, LOCK), { force: true }));
  };
  return { client: await client, release };
}

async function start(folder: string | undefined): Promise<Queryable & { close(): Promise<void> }> {
  const { PGlite } = await import('@electric-sql/pglite').catch(missing('@electric-sql/pglite'));
  return PGlite.create(folder);
}

function folderOf(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return realpathSync(folder);
}

/** Locks a folder. PGlite does not: two processes would corrupt it. Returns how to unlock it. */
function lock(folder: string): () => void {
  const file = path.join(folder, LOCK);
  for (;;) {
    try {
      const descriptor = openSync(file, 'wx');
      writeSync(descriptor, String(process.pid));
      closeSync(descriptor);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw new FatalError('', { cause: error });
    }
    const owner = Number(readFileSync(file, 'utf8'));
    if (owner !== process.pid && isAlive(owner)) {
      const reason = `Process ${owner} uses the folder ${folder}: an embedded database has one process at a time. If there is no such process, delete ${file}`;
      throw new FatalError(reason, { cause: new Error(reason) });
    }
    rmSync(file, { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

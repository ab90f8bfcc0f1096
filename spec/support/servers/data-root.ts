import { access, constants, stat, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** A file system in memory. A disk may stall for seconds and stall the servers with it. */
const IN_MEMORY = '/dev/shm';

/** The minimum free space for servers that run side by side, in bytes. */
const LEAST_FREE = 4 * 1024 ** 3;

/**
 * Returns the folder for the data of servers: in memory if there is enough space, unless `TMPDIR`
 * is set.
 */
export async function dataRoot(): Promise<string> {
  if (process.env.TMPDIR !== undefined) return tmpdir();
  try {
    await access(IN_MEMORY, constants.W_OK);
    const { bavail, bsize } = await statfs(IN_MEMORY);
    return bavail * bsize < LEAST_FREE ? tmpdir() : IN_MEMORY;
  } catch {
    return tmpdir();
  }
}

/** Returns the folder for the data of servers that another user runs. */
export async function publicDataRoot(): Promise<string> {
  const root = await dataRoot();
  if (await isPublic(root)) return root;
  return (await isPublic(IN_MEMORY)) ? IN_MEMORY : '/tmp';
}

/** Whether every user may enter a folder. */
async function isPublic(folder: string): Promise<boolean> {
  try {
    const { mode } = await stat(folder);
    if ((mode & constants.S_IXOTH) === 0) return false;
  } catch {
    return false;
  }
  const parent = path.dirname(folder);
  return parent === folder || isPublic(parent);
}

import { access, constants, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';

/** A file system in memory. A disk may stall for seconds, and the servers on it with it. */
const IN_MEMORY = '/dev/shm';

/** The least free space for servers that run side by side, in bytes. */
const LEAST_FREE = 4 * 1024 ** 3;

/** Returns the folder for the data of servers: in memory where there is room, unless `TMPDIR` names another. */
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

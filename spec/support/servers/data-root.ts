import { access, constants, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';

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

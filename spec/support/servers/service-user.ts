import { execFileSync } from 'node:child_process';

export interface User {
  readonly uid: number;
  readonly gid: number;
}

/** The user that the packages of PostgreSQL create, and one that every system has. */
const NAMES = ['postgres', 'nobody'];

/**
 * Returns a user for servers that refuse to run as root, or `undefined` if another user runs the
 * tests.
 */
export function serviceUser(): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const name of NAMES) {
    try {
      const [uid = 0, gid = 0] = ['-u', '-g'].map((which) =>
        Number(execFileSync('id', [which, name], { stdio: 'pipe' })),
      );
      return { uid, gid };
    } catch {
      // There is no such user.
    }
  }
  return undefined;
}

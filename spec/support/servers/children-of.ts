import { execFileSync } from 'node:child_process';

/** Returns the ids of the children of a process. */
export function childrenOf(parent: number): number[] {
  const table = execFileSync('ps', ['-A', '-o', 'ppid=,pid='], { encoding: 'utf8' });
  return table
    .trim()
    .split('\n')
    .map((row) => row.trim().split(/\s+/).map(Number))
    .filter(([of]) => of === parent)
    .map(([, id]) => Number(id));
}

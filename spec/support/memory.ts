import v8 from 'node:v8';
import vm from 'node:vm';
import { turns } from './promises.js';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

/** Collects all garbage, including objects that are released in a macrotask. */
async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await turns(2);
    gc();
  }
}

/** Returns the heap in use after a garbage collection, in bytes. */
export async function heapUsed(): Promise<number> {
  await collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** Counts the objects that survive a garbage collection. */
export async function survivors(references: readonly WeakRef<object>[]): Promise<number> {
  await collectGarbage();
  return references.filter((reference) => reference.deref() !== undefined).length;
}

import v8 from 'node:v8';
import vm from 'node:vm';
import { turns } from './promises.js';

v8.setFlagsFromString('--expose-gc');
const gc = vm.runInNewContext('gc') as () => void;

/** Collects all garbage, with what only a macrotask lets go of. */
async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    await turns(2);
    gc();
  }
}

/** The heap in use after a collection, in bytes. */
export async function heapUsed(): Promise<number> {
  await collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** How many of the objects are still there after a collection. */
export async function survivors(references: readonly WeakRef<object>[]): Promise<number> {
  await collectGarbage();
  return references.filter((reference) => reference.deref() !== undefined).length;
}

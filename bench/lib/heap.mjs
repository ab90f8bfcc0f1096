import { setImmediate as macrotask } from 'node:timers/promises';

/** Resolves to the used bytes of the heap, without garbage. */
export async function heapUsed() {
  for (let round = 0; round < 3; round++) {
    await macrotask();
    globalThis.gc();
  }
  return process.memoryUsage().heapUsed;
}

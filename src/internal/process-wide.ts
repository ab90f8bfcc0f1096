/**
 * Returns the process-wide object of this name, and creates it on first use.
 *
 * The ESM and the CommonJS build of this library may be in one process. They share such objects by
 * the global object.
 */
export function processWide<Thing>(name: string, create: () => Thing): Thing {
  const global = globalThis as { [key: symbol]: unknown };
  const symbol = Symbol.for(`sluice.v0.${name}`);
  global[symbol] ??= create();
  return global[symbol] as Thing;
}

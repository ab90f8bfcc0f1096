/**
 * The one thing of that name in the process, made on first use.
 *
 * An application can hold two copies of this library, the ESM and the CommonJS build; what has to be shared between them hangs on the global object.
 */
export function processWide<Thing>(name: string, create: () => Thing): Thing {
  const global = globalThis as { [key: symbol]: unknown };
  const symbol = Symbol.for(`sluice.v0.${name}`);
  global[symbol] ??= create();
  return global[symbol] as Thing;
}

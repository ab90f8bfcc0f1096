/** `Symbol.asyncDispose`, or where the runtime has none (browsers before 2025) the symbol that polyfills agree on. */
export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol.for('Symbol.asyncDispose') as typeof Symbol.asyncDispose);

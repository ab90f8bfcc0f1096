/** `Symbol.asyncDispose`. Browsers before 2025 lack it: there, the symbol that polyfills use. */
export const asyncDispose: typeof Symbol.asyncDispose =
  Symbol.asyncDispose ?? (Symbol.for('Symbol.asyncDispose') as typeof Symbol.asyncDispose);

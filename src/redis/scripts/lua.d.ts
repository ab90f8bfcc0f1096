/** A Lua script as text. `scripts/text.mjs` creates these modules, except for esbuild. */
declare module '*.lua' {
  const text: string;
  export default text;
}

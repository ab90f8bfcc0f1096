/** A Lua script as text. `scripts/lua.mjs` makes modules of such files, except for esbuild, which has a loader. */
declare module '*.lua' {
  const text: string;
  export default text;
}

/** The text of a Lua script, with the files that it includes. `scripts/lua.mjs` makes the module. */
declare module '*.lua' {
  const text: string;
  export default text;
}

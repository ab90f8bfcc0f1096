/**
 * Turns the Lua scripts of `src/redis/scripts` into modules that export their text, for rollup,
 * jest and Node.js.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const isLua = (file) => file.endsWith('.lua');
const exported = (text) => `export default ${JSON.stringify(text)};`;

/** The plugin for rollup. */
export const lua = { name: 'lua', transform: (text, id) => (isLua(id) ? { code: exported(text), map: null } : null) };

/** The hook for Node.js, see `lua-loader.mjs`. */
export function load(url, context, nextLoad) {
  if (!isLua(url)) return nextLoad(url, context);
  return { format: 'module', shortCircuit: true, source: exported(readFileSync(fileURLToPath(url), 'utf8')) };
}

/** The transformer for jest. */
export default {
  process: (text) => ({ code: `exports.__esModule = true; exports.default = ${JSON.stringify(text)};` }),
};

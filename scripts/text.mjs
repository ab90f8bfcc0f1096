/**
 * Turns Lua scripts and SQL files of `src` into modules that export their text, for rollup,
 * jest and Node.js.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const isText = (file) => /\.(?:lua|sql)$/.test(file);
const exported = (text) => `export default ${JSON.stringify(text)};`;

/** The plugin for rollup. */
export const text = {
  name: 'text',
  transform: (content, id) => (isText(id) ? { code: exported(content), map: null } : null),
};

/** The hook for Node.js, see `text-loader.mjs`. */
export function load(url, context, nextLoad) {
  if (!isText(url)) return nextLoad(url, context);
  return { format: 'module', shortCircuit: true, source: exported(readFileSync(fileURLToPath(url), 'utf8')) };
}

/** The transformer for jest. */
export default {
  process: (text) => ({ code: `exports.__esModule = true; exports.default = ${JSON.stringify(text)};` }),
};

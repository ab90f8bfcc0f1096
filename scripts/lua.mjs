/** Turns each Lua script of `src/redis/scripts` into a module that exports its text: for rollup, jest and Node.js. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const isLua = (file) => file.endsWith('.lua');

/** Reads a script, with the files that its lines `-- include: FILE` name. */
function readLua(file) {
  const include = (_, name) => readLua(path.resolve(path.dirname(file), name)).trimEnd();
  return readFileSync(file, 'utf8').replace(/^-- include: (\S+)$/gm, include);
}

/** A plugin of rollup. */
export const lua = {
  name: 'lua',
  load: (id) => (isLua(id) ? `export default ${JSON.stringify(readLua(id))};` : null),
};

/** A hook of Node.js, for programs that run from the sources: `node --import tsx --import ./scripts/lua-loader.mjs`. */
export function load(url, context, nextLoad) {
  if (!isLua(url)) return nextLoad(url, context);
  return { format: 'module', shortCircuit: true, source: lua.load(fileURLToPath(url)) };
}

/** A transformer of jest. */
export default {
  getCacheKey: (_, file) => createHash('sha1').update(readLua(file)).digest('hex'),
  process: (_, file) => ({ code: `exports.__esModule = true; exports.default = ${JSON.stringify(readLua(file))};` }),
};

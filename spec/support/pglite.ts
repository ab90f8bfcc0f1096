/**
 * The real PGlite, for jest: its `import()` does not work within the modules of jest. So Node.js
 * loads it, outside of them. See jest.config.mjs.
 */
const node = Buffer.constructor('return process')() as NodeJS.Process;
const { createRequire } = node.getBuiltinModule('node:module') as typeof import('node:module');

export const { PGlite } = createRequire(__filename)('@electric-sql/pglite') as typeof import('@electric-sql/pglite');

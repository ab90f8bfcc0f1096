export type { TracedOptions } from './options.js';
export { traced } from './traced.js';

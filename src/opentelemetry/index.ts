/**
 * Traces and measures a queue with OpenTelemetry.
 *
 * @module
 */

export type { TracedOptions } from './options.js';
export { traced } from './traced.js';

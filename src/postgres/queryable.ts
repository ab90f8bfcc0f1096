import { FatalError } from '../core/engine-errors.js';
import { describeError } from '../internal/describe.js';

/** Whatever runs SQL: a client or a pool of `pg`, a PGlite, or a transaction. */
export interface Queryable {
  // biome-ignore lint/suspicious/noExplicitAny: each client has types of its own
  query(text: string, values?: any[]): Promise<{ readonly rows: any[] }>;
}

/** Explains that a client cannot be loaded. No second attempt can succeed. */
export function missing(client: string): (cause: unknown) => never {
  return (cause) => {
    throw new FatalError('', { cause: new Error(`${describeError(cause)}. Install ${client}`, { cause }) });
  };
}

/** Whatever runs SQL: a client or a pool of `pg`, a PGlite, or a transaction. */
export interface Queryable {
  // biome-ignore lint/suspicious/noExplicitAny: each client has types of its own
  query(text: string, values?: any[]): Promise<{ readonly rows: any[] }>;
}

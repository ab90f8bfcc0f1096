import { Client, type QueryResult } from 'pg';

export interface PostgresAddress {
  readonly url: string;
  /** The certificate to trust, as PEM, if the server uses TLS. */
  readonly ca?: string | undefined;
}

const TIMEOUT = 10_000;

/** Runs a statement over a new connection and returns its rows: of several, those of the last. */
export async function runStatement<Row>(
  { url, ca }: PostgresAddress,
  sql: string,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const ssl = ca === undefined ? false : { ca };
  const client = new Client({ connectionString: url, ssl, connectionTimeoutMillis: TIMEOUT });
  // Errors reject `connect` or the query.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const results: QueryResult | QueryResult[] = await client.query(sql, [...values]);
    return ([results].flat().at(-1)?.rows ?? []) as Row[];
  } finally {
    await client.end();
  }
}

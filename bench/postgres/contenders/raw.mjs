/**
 * The limit: SQL by hand with one table. It polls for messages, counts no attempts and does not
 * look for dead consumers.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { KEY, PREFETCH, QUEUE } from '../../contenders/names.mjs';
import { inOneTurn } from '../turn.mjs';

/** Milliseconds between two claims while no message waits. */
export const POLL = 10;

const TABLE = `
CREATE TABLE ${QUEUE} (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  key text NOT NULL,
  payload text NOT NULL,
  claimed_at timestamptz
);
CREATE INDEX ${QUEUE}_unclaimed ON ${QUEUE} (id) WHERE claimed_at IS NULL`;

const INSERT = `
INSERT INTO ${QUEUE} (key, payload) SELECT key, payload FROM json_to_recordset($1) AS _ (key text, payload text)`;

/** Much faster than a join in a run, since the planner has no statistics of a new table. */
export const CLAIM = `
UPDATE ${QUEUE} SET claimed_at = now()
WHERE id = ANY (ARRAY(
  SELECT id FROM ${QUEUE} WHERE claimed_at IS NULL ORDER BY id LIMIT ${PREFETCH} FOR UPDATE SKIP LOCKED
))
RETURNING id, payload`;

const DELETE = `DELETE FROM ${QUEUE} WHERE id = ANY ($1::bigint[])`;

/** Without statistics, the planner may prefer to read and to sort the whole table. */
const BY_INDEX = '-c enable_seqscan=off -c enable_bitmapscan=off -c enable_sort=off';

/** A lost claim does no harm: the message is only delivered again. */
const NOT_AT_ONCE = '-c synchronous_commit=off';

export async function open(url, options) {
  const client = new pg.Client({ connectionString: url, options });
  await client.connect();
  return client;
}

export async function publisher(url) {
  const client = await open(url);
  const { rows } = await client.query('SELECT to_regclass($1) AS found', [QUEUE]);
  if (rows[0].found === null) await client.query(TABLE);
  const insert = inOneTurn((messages) =>
    client.query({ name: 'insert', text: INSERT, values: [JSON.stringify(messages)] }),
  );
  return {
    publish: (payload) => insert({ key: KEY, payload: JSON.stringify(payload) }),
    unfinished: async () => (await client.query(`SELECT count(*)::int AS count FROM ${QUEUE}`)).rows[0].count,
    close: () => client.end(),
  };
}

/** Claims the next messages while the last ones are deleted. */
export async function consumer(url) {
  const claiming = await open(url, `${BY_INDEX} ${NOT_AT_ONCE}`);
  const deleting = await open(url, BY_INDEX);
  let closing = false;
  const remove = async (ids, acked) => {
    await deleting.query({ name: 'delete', text: DELETE, values: [`{${ids}}`] });
    acked(ids.length);
  };
  const consume = async (take, acked) => {
    let removed;
    while (!closing) {
      const { rows } = await claiming.query({ name: 'claim', text: CLAIM });
      await removed;
      if (rows.length === 0) await sleep(POLL);
      else removed = remove(handle(rows, take), acked);
    }
    await removed;
  };
  let running;
  return {
    start(take, acked) {
      running = consume(take, acked);
    },
    async close() {
      closing = true;
      await running;
      await claiming.end();
      await deleting.end();
    },
  };
}

/** Returns the ids. */
export function handle(rows, take) {
  rows.sort((one, other) => one.id - other.id);
  return rows.map(({ id, payload }) => {
    take(JSON.parse(payload).n);
    return id;
  });
}

export { BY_INDEX, DELETE };

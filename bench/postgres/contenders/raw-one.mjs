import { BY_INDEX, CLAIM, DELETE, handle, open } from './raw.mjs';

/** Deletes the last messages and claims the next ones in one statement. */
export async function consumer(url) {
  const client = await open(url, BY_INDEX);
  let closing = false;
  const consume = async (take, acked) => {
    let ids = [];
    do {
      const text = `WITH deleted AS (${DELETE}) ${CLAIM}`;
      const { rows } = await client.query({ name: 'next', text, values: [`{${ids}}`] });
      acked(ids.length);
      ids = handle(rows, take);
    } while (ids.length > 0 && !closing);
    if (ids.length > 0) await client.query(DELETE, [`{${ids}}`]);
  };
  let running;
  return {
    start(take, acked) {
      running = consume(take, acked);
    },
    async close() {
      closing = true;
      await running;
      await client.end();
    },
  };
}

export { publisher } from './raw.mjs';

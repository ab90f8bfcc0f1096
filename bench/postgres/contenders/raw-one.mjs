import { setTimeout as sleep } from 'node:timers/promises';
import { BY_INDEX, CLAIM, DELETE, handle, open, POLL } from './raw.mjs';

/** Deletes the last messages and claims the next ones in one statement. */
export async function consumer(url) {
  const client = await open(url, BY_INDEX);
  let closing = false;
  const consume = async (take, acked) => {
    const text = `WITH deleted AS (${DELETE}) ${CLAIM}`;
    let ids = [];
    while (!closing) {
      const { rows } = await client.query({ name: 'next', text, values: [`{${ids}}`] });
      acked(ids.length);
      ids = handle(rows, take);
      if (ids.length === 0) await sleep(POLL);
    }
    await client.query(DELETE, [`{${ids}}`]);
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

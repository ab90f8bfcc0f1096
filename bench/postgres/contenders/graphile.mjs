import { EventEmitter } from 'node:events';
import { Logger, run, runMigrations } from 'graphile-worker';
import pg from 'pg';
import { PREFETCH, QUEUE } from '../../contenders/names.mjs';
import { inOneTurn } from '../turn.mjs';

const ADD = `
SELECT count(*) FROM graphile_worker.add_jobs(
  ARRAY(SELECT json_populate_recordset(null::graphile_worker.job_spec, $1))
)`;

const logger = new Logger(() => () => {});

export async function publisher(url) {
  await runMigrations({ connectionString: url, logger });
  const client = new pg.Client(url);
  await client.connect();
  const add = inOneTurn((jobs) => client.query({ name: 'add', text: ADD, values: [JSON.stringify(jobs)] }));
  return {
    publish: (payload) => add({ identifier: QUEUE, payload }),
    async unfinished() {
      const { rows } = await client.query('SELECT count(*)::int AS count FROM graphile_worker.jobs');
      return rows[0].count;
    },
    close: () => client.end(),
  };
}

export async function consumer(url) {
  const events = new EventEmitter();
  let runner;
  return {
    async start(take, acked) {
      events.on('job:error', ({ error }) => {
        throw error;
      });
      events.on('job:complete', () => acked(1));
      runner = run({
        connectionString: url,
        concurrency: PREFETCH,
        noHandleSignals: true,
        taskList: { [QUEUE]: async ({ n }) => take(n) },
        events,
        logger,
      });
    },
    close: async () => (await runner).stop(),
  };
}

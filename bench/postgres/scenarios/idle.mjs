import { setTimeout as sleep } from 'node:timers/promises';
import { idle, openIdle } from '../../scenarios/servers/idle.mjs';
import { countStatements } from '../proxy.mjs';

const SECONDS = 60;

export const postgresIdle = {
  ...idle,
  title: 'PostgreSQL: an idle consumer',
  text: `Statements that the server receives from a waiting consumer in ${SECONDS} seconds.`,
  unit: 'statements/s',
  timeout: 120,
  contenders: ['sluice', 'bullmq', 'graphile'],
  goals: [{ atMost: 0.2 }],

  async run(contender, { url, empty }) {
    await empty(url);
    const proxy = await countStatements(url);
    await openIdle(contender, proxy.url);
    const before = proxy.statements();
    const startedAt = performance.now();
    await sleep(SECONDS * 1000);
    const seconds = (performance.now() - startedAt) / 1000;
    return { value: (proxy.statements() - before) / seconds, seconds };
  },
};

import { setTimeout as sleep } from 'node:timers/promises';
import { idle, openIdle } from '../../scenarios/servers/idle.mjs';

/** Several times the fifteen seconds that a consumer of sluice blocks at most. */
const SECONDS = 48;

export const redisIdle = {
  ...idle,
  title: 'Redis: an idle consumer',
  text: `Commands that the server receives from a waiting consumer in ${SECONDS} seconds.`,
  unit: 'commands/s',
  contenders: ['sluice'],
  goals: [{ atMost: 0.2 }],

  async run(contender, { url, empty }) {
    await empty(url);
    await openIdle(contender, url);
    const { createClient } = await import('redis');
    const monitor = await createClient({ url }).connect();
    let commands = 0;
    await monitor.monitor((line) => {
      // The commands that a script calls count too.
      if (!/^\S+ \[\d+ lua\]/.test(line)) commands++;
    });
    const startedAt = performance.now();
    await sleep(SECONDS * 1000);
    const seconds = (performance.now() - startedAt) / 1000;
    return { value: commands / seconds, seconds };
  },
};

import { setTimeout as sleep } from 'node:timers/promises';
import { idle, openIdle } from '../../scenarios/servers/idle.mjs';

/** Several times as long as a consumer of ours waits at most, which is fifteen seconds. */
const SECONDS = 48;

export const redisIdle = {
  ...idle,
  title: 'Redis: an idle consumer',
  text: `Commands that the server gets from a consumer that waits for messages, in ${SECONDS} seconds.`,
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
      // What a script calls is part of it.
      if (!/^\S+ \[\d+ lua\]/.test(line)) commands++;
    });
    const startedAt = performance.now();
    await sleep(SECONDS * 1000);
    const seconds = (performance.now() - startedAt) / 1000;
    return { value: commands / seconds, seconds };
  },
};

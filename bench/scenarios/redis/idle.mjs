import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'redis';
import { emptyRedis } from '../../lib/redis-server.mjs';
import { common, countAcks, payload } from './common.mjs';

/** Several times as long as a consumer of ours waits at most, which is twelve seconds. */
const SECONDS = 48;

const CALM = 1000;

export const redisIdle = {
  ...common,
  title: 'Redis: an idle consumer',
  text: `Commands that the server gets from a consumer that waits for messages, in ${SECONDS} seconds.`,
  unit: 'commands/s',
  messages: 0,
  rounds: 1,
  warmUps: 0,
  contenders: ['sluice'],
  goals: [{ atMost: 0.2 }],

  async run(contender, { url }) {
    await emptyRedis(url);
    const publisher = await contender.publisher(url);
    const consumer = await contender.consumer(url);
    const { acked, all } = countAcks(1);
    consumer.start(() => {}, acked);
    await publisher.publish(payload(0));
    await all;
    await publisher.close();
    await sleep(CALM);
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

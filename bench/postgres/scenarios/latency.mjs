import { setTimeout as sleep } from 'node:timers/promises';
import { common, countAcks, payload } from '../../scenarios/servers/common.mjs';

const PAUSE = 20;

const percentile = (sorted, share) => sorted[Math.floor((sorted.length - 1) * share)];

export const postgresLatency = {
  ...common,
  title: 'PostgreSQL: from the confirm to a waiting handler',
  text: `Half of the messages start their handler within this time. A message every ${PAUSE} ms, each to a consumer that waits. A handler that starts before the confirm counts as zero.`,
  unit: 'ms',
  messages: 500,
  rounds: 3,
  warmUps: 1,
  warmUpMessages: 50,
  contenders: ['sluice', 'bullmq', 'graphile'],
  goals: [{ atMost: 5 }],

  async run(contender, { messages, url, empty }) {
    await empty(url);
    const publisher = await contender.publisher(url);
    const consumer = await contender.consumer(url);
    const handledAt = [];
    const confirmedAt = [];
    const { acked, all } = countAcks(messages + 1);
    consumer.start((n) => {
      handledAt[n] = performance.now();
    }, acked);
    // The first message waits until the consumer has started.
    await publisher.publish(payload(messages));
    while (handledAt[messages] === undefined) await sleep(PAUSE);
    const startedAt = performance.now();
    for (let n = 0; n < messages; n++) {
      await sleep(PAUSE);
      await publisher.publish(payload(n));
      confirmedAt[n] = performance.now();
    }
    await all;
    const seconds = (performance.now() - startedAt) / 1000;
    const waits = confirmedAt.map((at, n) => Math.max(0, handledAt[n] - at)).sort((one, other) => one - other);
    await consumer.close();
    await publisher.close();
    return { value: percentile(waits, 0.5), seconds, details: { p99: percentile(waits, 0.99), max: waits.at(-1) } };
  },
};

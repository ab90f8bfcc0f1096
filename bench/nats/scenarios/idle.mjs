import { setTimeout as sleep } from 'node:timers/promises';
import { idle, openIdle } from '../../scenarios/servers/idle.mjs';

/** The longest time that a consumer of sluice waits before it sends the next request. */
const SECONDS = 30;

export const natsIdle = {
  ...idle,
  title: 'NATS: an idle consumer',
  text: `Messages that the server exchanges with a waiting consumer in ${SECONDS} seconds.`,
  unit: 'messages/s',
  contenders: ['sluice'],
  goals: [{ atMost: 0.5 }],

  async run(contender, { url, monitorUrl, empty }) {
    await empty(url);
    await openIdle(contender, url);
    const before = await count(monitorUrl);
    const startedAt = performance.now();
    await sleep(SECONDS * 1000);
    const after = await count(monitorUrl);
    const seconds = (performance.now() - startedAt) / 1000;
    const details = { in: (after.in - before.in) / seconds, out: (after.out - before.out) / seconds };
    return { value: details.in + details.out, seconds, details };
  },
};

/** Returns the number of messages that the server has counted. */
async function count(monitorUrl) {
  const { in_msgs, out_msgs } = await (await fetch(`${monitorUrl}/varz`)).json();
  return { in: in_msgs, out: out_msgs };
}

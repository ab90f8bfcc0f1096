import { setTimeout as sleep } from 'node:timers/promises';
import { onceEach } from '../../lib/tally.mjs';
import { common, payload } from '../../scenarios/servers/common.mjs';

const PUBLISHERS = 64;

/** The publishers pause while more messages than this wait. */
const MOST_WAITING = 1000;

/** How many times the measured number of messages are sent. */
const PARTS = 10;

export const postgresSoak = {
  ...common,
  title: 'PostgreSQL: beside a long transaction',
  text: 'Published and consumed by one process at the same time, while another client keeps a transaction open, so that the server cannot remove dead rows: the throughput of the last 20,000 of 200,000 messages, divided by the throughput of the first 20,000.',
  unit: '×',
  rounds: 1,
  warmUps: 1,
  warmUpMessages: 2000,
  timeout: 300,
  contenders: ['sluice', 'raw'],
  goals: [{ atLeast: 0.7 }],

  async run(contender, { messages, url, empty }) {
    await empty(url);
    const { use } = await import('../server.mjs');
    return use(url, async (other) => {
      await other.query('BEGIN');
      // Takes a transaction number, which the server then keeps everything for.
      await other.query('SELECT txid_current()');
      return soak(contender, { messages, url });
    });
  },
};

/** @param part the number of messages between two measurements */
async function soak(contender, { messages: part, url }) {
  const messages = part * PARTS;
  const publisher = await contender.publisher(url);
  const consumer = await contender.consumer(url);
  const tally = onceEach(messages);
  const endedAt = [];
  let published = 0;
  let count = 0;
  let finish;
  const all = new Promise((resolve) => {
    finish = resolve;
  });
  const acked = (more) => {
    count += more;
    while (count >= (endedAt.length + 1) * part) endedAt.push(performance.now());
    if (count >= messages) finish();
  };
  const one = async () => {
    while (published < messages) {
      if (published - count > MOST_WAITING) await sleep(1);
      else await publisher.publish(payload(published++));
    }
  };
  const startedAt = performance.now();
  consumer.start(tally.take, acked);
  const publishing = Promise.all(Array.from({ length: PUBLISHERS }, one));
  const seconds = await tally.secondsUntil(all, startedAt);
  await publishing;
  await consumer.close();
  await publisher.close();
  const rates = endedAt.map((at, index) => part / (at - (endedAt[index - 1] ?? startedAt)));
  return { value: rates.at(-1) / rates[0], seconds, details: { rates } };
}

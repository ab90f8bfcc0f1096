/**
 * One process of a crew, with one consumer:
 * `node crew-member.mjs redis bullmq redis://127.0.0.1:6379`. It receives its commands as messages.
 */
import { sharedNow } from './crew.mjs';

/**
 * Milliseconds between two reports of acknowledgements. A report for each message would distort the
 * measurement.
 */
const REPORT = 5;

const [engine, contenderId, url] = process.argv.slice(2);
const contender = await import(`../${engine}/contenders/${contenderId}.mjs`);
let consumer;
let numbers = [];
let acked = 0;
let at;
let scheduled = false;

const commands = {
  async open() {
    numbers = [];
    consumer = await contender.consumer(url);
  },
  go() {
    consumer.start((n) => numbers.push(n), onAcked);
  },
  async close() {
    await consumer.close();
    return { numbers };
  },
};

function onAcked(count) {
  acked += count;
  at = sharedNow();
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    process.send({ acked, at });
    acked = 0;
    scheduled = false;
  }, REPORT);
}

process.on('message', async (word) => process.send({ done: word, ...(await commands[word]()) }));
process.on('disconnect', () => process.exit());

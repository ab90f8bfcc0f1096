import { setImmediate as macrotask } from 'node:timers/promises';

/** The publisher waits for two macrotasks before each message. */
const MESSAGES = 100_000;
const MICROSECONDS = 1e3;

/** Returns the sorted latencies of messages that each find a parked consumer, in microseconds. */
async function measure(contender, messages) {
  const queue = await contender.open();
  const latencies = new Float64Array(messages);
  let publishedAt;
  let next = 0;
  const consumer = queue.consume((n) => {
    latencies[n] = (performance.now() - publishedAt) * MICROSECONDS;
    if (n !== next++) throw new Error(`Expected message ${next - 1}, got ${n}`);
  });
  const pause = () => Promise.race([macrotask(), consumer]);
  for (let n = 0; n < messages; n++) {
    const payload = { n };
    // After the last message is taken, the consumer needs another macrotask to park.
    while (next < n) await pause();
    await pause();
    publishedAt = performance.now();
    void queue.push(payload);
  }
  while (next < messages) await pause();
  return latencies.sort();
}

/** Returns the median time of a reading of the clock in microseconds: each latency contains one. */
function clockReading(count) {
  const readings = Float64Array.from({ length: count }, () => {
    const startedAt = performance.now();
    return (performance.now() - startedAt) * MICROSECONDS;
  });
  return percentile(readings.sort(), 50);
}

const percentile = (sorted, percent) => sorted[Math.ceil((sorted.length * percent) / 100) - 1];

const latency = (title, text, percent) => ({
  title,
  text,
  unit: 'µs',
  table: 'latency',
  messages: MESSAGES,
  warmUpMessages: 10_000,
  contenders: ['sluice', 'limit', 'checked', 'queueable', 'it-pushable', 'event-iterator', 'events-on', 'effect'],
  goals: [{ atMost: 1.3, of: 'limit' }],
  async run(contender, { messages }) {
    const startedAt = performance.now();
    const latencies = await measure(contender, messages);
    const value = percentile(latencies, percent) - clockReading(messages);
    return { value, seconds: (performance.now() - startedAt) / 1000 };
  },
});

export const latency50 = latency(
  'From publish to a parked consumer',
  'Half of the messages reach the body of the loop within this time. The publisher waits until the consumer is parked. The time of a reading of the clock is deducted.',
  50,
);

export const latency99 = latency('The same for 99 of 100 messages', 'The 99th percentile.', 99);

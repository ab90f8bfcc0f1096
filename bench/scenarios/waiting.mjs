import { heapUsed } from '../lib/heap.mjs';
import { inOrder } from '../lib/tally.mjs';

const MESSAGES = 100_000;
const CAPACITY = 16;

export const waiting = {
  title: 'Memory of a waiting publish',
  text: 'Heap bytes in addition to the payload, while all publishes wait for a queue with a capacity of 16. Only contenders whose time does not grow with the square of their number.',
  unit: 'bytes',
  messages: MESSAGES,
  warmUpMessages: 10_000,
  contenders: ['sluice', 'limit', 'checked', 'queueable', 'effect'],
  goals: [{ atMost: 1.5, of: 'limit' }],

  async run(contender, { messages }) {
    const total = CAPACITY + messages;
    const payloads = Array.from({ length: total }, (_, n) => ({ n }));
    const queue = await contender.open({ capacity: CAPACITY });
    const startedAt = performance.now();
    for (let n = 0; n < CAPACITY; n++) void queue.push(payloads[n]);
    const before = await heapUsed();
    for (let n = CAPACITY; n < total - 1; n++) void queue.push(payloads[n]);
    let waits = true;
    const last = queue.push(payloads[total - 1]).then(() => {
      waits = false;
    });
    const used = (await heapUsed()) - before;
    if (!waits) throw new Error('A publish did not wait, although the queue was full');
    const tally = inOrder(total);
    await tally.seconds(startedAt, [queue.consume(tally.take)]);
    await last;
    return { value: used / messages, seconds: (performance.now() - startedAt) / 1000 };
  },
};

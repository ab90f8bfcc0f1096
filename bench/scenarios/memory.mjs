import { setImmediate as macrotask } from 'node:timers/promises';

async function heapUsed() {
  for (let round = 0; round < 3; round++) {
    await macrotask();
    globalThis.gc();
  }
  return process.memoryUsage().heapUsed;
}

export const memory = {
  title: 'Memory of a waiting message',
  text: 'Bytes on the heap beside the payload.',
  unit: 'bytes',
  contenders: [
    'sluice',
    'limit',
    'rxjs-for-await',
    'ix',
    'it-pushable',
    'event-iterator',
    'events-on',
    'pass-through',
    'effect',
  ],
  goals: [{ atMost: 100 }],

  async run(contender, { messages }) {
    const payloads = Array.from({ length: messages }, (_, n) => ({ n }));
    const queue = await contender.open();
    const startedAt = performance.now();
    const early = contender.consumesFirst ? queue.values.next() : undefined;
    const before = await heapUsed();
    for (let n = 0; n < messages; n++) void queue.push(payloads[n]);
    const used = (await heapUsed()) - before;
    // They are still held, and by the queue too.
    if (payloads.length !== messages || queue.push === undefined) throw new Error('Something was lost');
    void early;
    return { value: used / messages, seconds: (performance.now() - startedAt) / 1000 };
  },
};

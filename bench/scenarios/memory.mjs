import { heapUsed } from '../lib/heap.mjs';

export const memory = {
  title: 'Memory of a waiting message',
  text: 'Heap bytes in addition to the payload.',
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
    // Keep the payloads and the queue alive until here.
    if (payloads.length !== messages || queue.push === undefined) throw new Error('A message was lost');
    void early;
    return { value: used / messages, seconds: (performance.now() - startedAt) / 1000 };
  },
};

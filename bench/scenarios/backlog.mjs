const SHALLOW = 1000;
const DEEP_PER_MESSAGE = 5;

/** Nanoseconds for one message in and one out, with `depth` messages that wait all the time. */
async function costAt(depth, contender, messages) {
  const queue = await contender.open();
  for (let n = 0; n < depth; n++) void queue.push({ n });
  const values = queue.values[Symbol.asyncIterator]();
  globalThis.gc();
  const startedAt = performance.now();
  for (let n = 0; n < messages; n++) {
    await queue.push({ n: n + depth });
    const { value } = await values.next();
    if (value.n !== n) throw new Error(`Expected message ${n}, got ${value.n}`);
  }
  return ((performance.now() - startedAt) * 1e6) / messages;
}

export const backlog = {
  title: 'A backlog of 5M against one of 1k',
  text: 'Cost of one message in and one out while that many others wait, divided.',
  unit: '×',
  contenders: ['sluice', 'limit'],
  goals: [{ atMost: 1.5 }],
  /** A million in and out takes as long again as the rest; the 5M grow with `--messages`. */
  async run(contender, { messages }) {
    const startedAt = performance.now();
    const shallow = await costAt(SHALLOW, contender, messages);
    const deep = await costAt(messages * DEEP_PER_MESSAGE, contender, messages);
    return { value: deep / shallow, seconds: (performance.now() - startedAt) / 1000, details: { shallow, deep } };
  },
};

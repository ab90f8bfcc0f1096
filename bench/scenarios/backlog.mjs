const SHALLOW = 1000;
const DEEP_PER_MESSAGE = 5;

/** Returns nanoseconds per message that is added and taken while `depth` messages wait. */
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
  text: 'The cost of adding and taking a message while 5M others wait, divided by the cost while 1k wait.',
  unit: '×',
  contenders: ['sluice', 'limit'],
  goals: [{ atMost: 1.5 }],
  /**
   * The million measured messages take as long as the rest. The backlog of 5M grows with
   * `--messages`.
   */
  async run(contender, { messages }) {
    const startedAt = performance.now();
    const shallow = await costAt(SHALLOW, contender, messages);
    const deep = await costAt(messages * DEEP_PER_MESSAGE, contender, messages);
    return { value: deep / shallow, seconds: (performance.now() - startedAt) / 1000, details: { shallow, deep } };
  },
};

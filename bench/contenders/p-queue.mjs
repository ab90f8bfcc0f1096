import PQueue from 'p-queue';

export async function handleAll(handler, { messages, concurrency }) {
  const queue = new PQueue({ concurrency });
  for (let n = 0; n < messages; n++) {
    const task = { n };
    void queue.add(() => handler(task));
  }
  await queue.onIdle();
}

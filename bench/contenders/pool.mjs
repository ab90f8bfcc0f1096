/**
 * The limit of the contenders that call handlers: workers that share an array. The array is filled
 * first. Nothing can be pushed later, settled or stopped.
 */
export async function handleAll(handler, { messages, concurrency }) {
  const items = [];
  for (let n = 0; n < messages; n++) items.push({ n });
  let next = 0;
  const work = async () => {
    while (next < messages) await handler(items[next++]);
  };
  await Promise.all(Array.from({ length: concurrency }, work));
}

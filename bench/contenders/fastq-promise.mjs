import fastq from 'fastq';

/** Each push returns a promise. Users wait for these promises or for the drain. */
export async function handleAll(handler, { messages, concurrency }) {
  const queue = fastq.promise(handler, concurrency);
  for (let n = 0; n < messages; n++) void queue.push({ n });
  await queue.drained();
}

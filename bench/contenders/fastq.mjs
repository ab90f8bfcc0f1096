import fastq from 'fastq';

/** Creates no promise except the handler's. */
export function handleAll(handler, { messages, concurrency }) {
  return new Promise((resolve) => {
    const queue = fastq((task, done) => handler(task).then(() => done(null), done), concurrency);
    queue.drain = resolve;
    for (let n = 0; n < messages; n++) queue.push({ n });
  });
}

import { createPostgresBackend, withBackend } from 'bullmq';
import { KEY, PREFETCH, QUEUE } from '../../contenders/names.mjs';

const { Queue, Worker } = withBackend(createPostgresBackend);

const connection = (url) => ({ connectionString: url, migrate: true });

export const publisher = (url) => openPublisher(url, (queue) => (payload) => queue.add(KEY, payload));

/** @param publishing returns the function that publishes to a queue */
export async function openPublisher(url, publishing) {
  const queue = new Queue(QUEUE, { connection: connection(url) });
  await queue.waitUntilReady();
  return {
    publish: publishing(queue),
    unfinished: () => queue.getJobCountByTypes('waiting', 'active', 'delayed', 'failed'),
    close: () => queue.close(),
  };
}

export async function consumer(url) {
  let take;
  const worker = new Worker(QUEUE, async ({ data }) => take(data.n), {
    connection: connection(url),
    concurrency: PREFETCH,
    autorun: false,
  });
  await worker.waitUntilReady();
  return {
    start(onMessage, acked) {
      take = onMessage;
      worker.on('completed', () => acked(1));
      worker.on('failed', (_, error) => {
        throw error;
      });
      void worker.run();
    },
    close: () => worker.close(),
  };
}

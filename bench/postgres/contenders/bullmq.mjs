import { createPostgresBackend, withBackend } from 'bullmq';
import { KEY, PREFETCH, QUEUE } from '../../contenders/names.mjs';

const { Queue, Worker } = withBackend(createPostgresBackend);

const connection = (url) => ({ connectionString: url, migrate: true });

export async function publisher(url) {
  const queue = new Queue(QUEUE, { connection: connection(url) });
  await queue.waitUntilReady();
  return {
    publish: (payload) => queue.add(KEY, payload),
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

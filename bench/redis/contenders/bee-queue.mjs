import BeeQueue from 'bee-queue';
import { PREFETCH, QUEUE } from '../../contenders/names.mjs';

/**
 * Disables what its readme recommends to disable for processes that only send jobs or never look at
 * them again.
 */
export async function publisher(url) {
  const queue = new BeeQueue(QUEUE, { redis: url, isWorker: false, getEvents: false, storeJobs: false });
  await queue.ready();
  return {
    publish: (payload) => queue.createJob(payload).save(),
    async unfinished() {
      const { waiting, active, delayed, failed } = await queue.checkHealth();
      return waiting + active + delayed + failed;
    },
    close: () => queue.close(),
  };
}

export async function consumer(url) {
  const queue = new BeeQueue(QUEUE, { redis: url, getEvents: false, storeJobs: false });
  await queue.ready();
  return {
    start(take, acked) {
      queue.on('succeeded', () => acked(1));
      queue.on('failed', (_, error) => {
        throw error;
      });
      queue.process(PREFETCH, async ({ data }) => take(data.n));
    },
    close: () => queue.close(),
  };
}

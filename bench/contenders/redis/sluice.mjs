import { RedisBackend } from '../../../dist/redis/index.js';
import { KEY, PREFETCH, QUEUE } from './names.mjs';

async function open(url) {
  const queue = new RedisBackend({ url, name: QUEUE });
  // It connects with the first call.
  await queue.stats();
  return queue;
}

export async function publisher(url) {
  const queue = await open(url);
  return {
    publish: (payload) => queue.publish(KEY, payload),
    unfinished: async () => (await queue.stats()).unfinished,
    close: () => queue.close(),
  };
}

export async function consumer(url) {
  const queue = await open(url);
  return {
    start(take, acked) {
      queue.deliveries({ prefetch: PREFETCH }).subscribe((delivery) => {
        take(delivery.payload.n);
        void delivery.ack().then((counted) => acked(counted ? 1 : 0));
      });
    },
    close: () => queue.close(),
  };
}

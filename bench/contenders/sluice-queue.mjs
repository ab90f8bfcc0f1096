import { KEY, PREFETCH } from './names.mjs';

/**
 * Sluice as a contender with a server.
 * @param create returns a queue on the server at a `url`. The queue connects with the first call.
 */
export function sluiceQueue(create) {
  const open = async (url) => {
    const queue = create(url);
    await queue.stats();
    return queue;
  };
  return {
    async publisher(url) {
      const queue = await open(url);
      return {
        publish: (payload) => queue.publish(KEY, payload),
        unfinished: async () => (await queue.stats()).unfinished,
        close: () => queue.close(),
      };
    },
    async consumer(url) {
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
    },
  };
}

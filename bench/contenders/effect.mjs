import { Effect, Queue } from 'effect';

/**
 * Uses effects instead of promises: as Effect's users do, publishers and consumers are generators
 * that Effect runs.
 */
export async function open({ capacity } = {}) {
  const queue = await makeQueue(capacity);
  return {
    queue,
    /** With a capacity, each push is a program that waits. */
    push: (payload) =>
      capacity === undefined ? Queue.offerUnsafe(queue, payload) : Effect.runPromise(Queue.offer(queue, payload)),
    publish: (first, step, end, accepted) =>
      Effect.runPromise(
        Effect.gen(function* () {
          for (let n = first; n < end; n += step) {
            yield* Queue.offer(queue, { n });
            accepted?.();
          }
        }),
      ),
    consume: (take) => consumeQueue(queue, take),
  };
}

export async function bridge(source) {
  const queue = await makeQueue();
  source.subscribe((payload) => Queue.offerUnsafe(queue, payload));
  return queue;
}

export const consumeBridge = (queue, take) => consumeQueue(queue, take);

function makeQueue(capacity) {
  return Effect.runPromise(capacity === undefined ? Queue.unbounded() : Queue.bounded(capacity));
}

function consumeQueue(queue, take) {
  return Effect.runPromise(
    Effect.gen(function* () {
      for (;;) take((yield* Queue.take(queue)).n);
    }),
  );
}

/**
 * What `push` of a contender returns that has nothing to wait for: an `await` of it costs less than
 * one of `undefined`.
 */
export const RESOLVED = Promise.resolve();

/**
 * A contender's queue, out of a function that sends one payload and an async iterable: the loops
 * are the same for all who work by promises.
 * @param push sends a payload and returns a promise, for a publisher that waits
 * @param values what the consumers iterate over, all of them over the same
 */
export function promiseQueue(push, values) {
  return {
    push,
    values,
    /**
     * Sends first, first + step, … as long as they are less than `end`, each one when the one
     * before it was taken.
     */
    async publish(first, step, end) {
      for (let n = first; n < end; n += step) await push({ n });
    },
    consume: (take) => consumeValues(values, take),
  };
}

export async function consumeValues(values, take) {
  for await (const payload of values) take(payload.n);
}

export async function consumeBatches(batches, take) {
  for await (const batch of batches) {
    for (const payload of batch) take(payload.n);
  }
}

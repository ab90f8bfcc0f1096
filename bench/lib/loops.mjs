/**
 * The result of a contender's `push` that need not wait. Awaiting it is cheaper than awaiting
 * `undefined`.
 */
export const RESOLVED = Promise.resolve();

/**
 * Creates a contender's queue. All contenders that use promises share these loops.
 * @param push sends a payload and returns a promise that a publisher awaits
 * @param values the async iterable that all consumers share
 */
export function promiseQueue(push, values) {
  return {
    push,
    values,
    /**
     * Sends first, first + step, … while they are less than `end`. Awaits each message before it
     * sends the next. Calls `accepted`, if given, after each.
     */
    async publish(first, step, end, accepted) {
      for (let n = first; n < end; n += step) {
        await push({ n });
        accepted?.();
      }
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

import { Effect } from 'effect';

/**
 * Iterates over an array that is filled first. A `Queue` with one fiber per worker is slower, a
 * `Stream` with `mapEffect` much slower.
 */
export function handleAll(handler, { messages, concurrency }) {
  const items = [];
  for (let n = 0; n < messages; n++) items.push({ n });
  const handleOne = (payload) => Effect.promise(() => handler(payload));
  return Effect.runPromise(Effect.forEach(items, handleOne, { concurrency, discard: true }));
}

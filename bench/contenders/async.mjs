import { queue as makeQueue } from 'async';

/**
 * Passes a callback to each push: without one, `push` creates a promise and takes two to four times
 * as long.
 */
export async function handleAll(handler, { messages, concurrency }) {
  const queue = makeQueue(handler, concurrency);
  const done = (error) => {
    if (error) throw error;
  };
  for (let n = 0; n < messages; n++) queue.push({ n }, done);
  await queue.drain();
}

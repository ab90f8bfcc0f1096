import { queue as makeQueue } from 'async';

/**
 * With a callback for each push: without one it makes a promise for each, and takes two to four
 * times as long.
 */
export async function handleAll(handler, { messages, concurrency }) {
  const queue = makeQueue(handler, concurrency);
  const done = (error) => {
    if (error) throw error;
  };
  for (let n = 0; n < messages; n++) queue.push({ n }, done);
  await queue.drain();
}

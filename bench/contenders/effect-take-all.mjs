import { Effect, Queue } from 'effect';
import * as effect from './effect.mjs';

/** Uses the same queue, but the consumer takes all waiting values as one array. */
export async function open(options) {
  const opened = await effect.open(options);
  return { ...opened, consume: (take) => consumeAll(opened.queue, take) };
}

export const bridgeBatches = effect.bridge;

export const consumeBridgeBatches = consumeAll;

function consumeAll(queue, take) {
  return Effect.runPromise(
    Effect.gen(function* () {
      for (;;) {
        for (const payload of yield* Queue.takeAll(queue)) take(payload.n);
      }
    }),
  );
}

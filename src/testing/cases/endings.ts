import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import type { QueueBackend } from '../../backend.js';
import { type Definition, rule } from '../definition.js';
import { ResourceWatch } from '../resources.js';
import { type Scene, turns, upTo } from '../scene.js';
import { acking } from '../taker.js';

/** A way to wait for messages under a signal: returns how to leave, and the end. */
type Way = (
  scene: Scene,
  queue: QueueBackend,
  signal: AbortSignal,
) => { leave(): unknown; readonly ended: () => boolean };

const WAYS: Readonly<Record<string, Way>> = {
  'a subscription': (scene, queue, signal) => {
    const taker = scene.take(queue, { signal }, acking);
    let left = false;
    const leave = () => {
      left = true;
      taker.leave();
    };
    return { leave, ended: () => taker.completed || left };
  },
  'consume()': (scene, queue, signal) => iterated(scene.consume(queue, { signal })),
  'consume() with a prefetch': (scene, queue, signal) => iterated(scene.consume(queue, { signal, prefetch: 4 })),
  'a loop over deliveries()': (scene, queue, signal) => iterated(scene.iterate(queue, { signal })),
};

function iterated(iterator: Required<AsyncIterator<unknown, unknown, unknown>>): ReturnType<Way> {
  let over = false;
  void (async () => {
    while (!(await iterator.next()).done);
    over = true;
  })();
  return { leave: () => iterator.return(undefined), ended: () => over };
}

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, 'abort').length;
}

/** Rule 12. */
export const endings: readonly Definition[] = [
  ...Object.entries(WAYS).map(([way, begin]) =>
    rule(12, `${way} that has ended leaves no listener on its signal`, async (scene) => {
      const queue = await scene.open();
      const lasting = new AbortController();
      for (const _ of upTo(5)) {
        const { leave, ended } = begin(scene, queue, lasting.signal);
        await scene.publish(queue, [1]);
        await scene.counts(queue, { ready: 0 });
        await scene.within('the consumer to leave', Promise.resolve(leave()));
        await scene.until('the consumer to end', ended);
        await scene.until(
          () => `no listener on the signal of a consumer that left; there are ${listenersOf(lasting.signal)}`,
          () => listenersOf(lasting.signal) === 0,
        );
        const aborted = new AbortController();
        const { ended: abortedEnded } = begin(scene, queue, aborted.signal);
        aborted.abort();
        await scene.until('the consumer to end', abortedEnded);
        await scene.until('no listener on a signal that was aborted', () => listenersOf(aborted.signal) === 0);
      }
      const closed = begin(scene, queue, lasting.signal);
      await scene.within('close() to resolve', queue.close());
      await scene.until('the consumer to end', closed.ended);
      await scene.until('no listener on the signal after close()', () => listenersOf(lasting.signal) === 0);
    }),
  ),

  rule(12, 'a consumer whose signal was aborted before adds no listener', async (scene) => {
    const queue = await scene.open();
    const signal = AbortSignal.abort();
    for (const begin of Object.values(WAYS))
      await scene.until('the consumer to end', begin(scene, queue, signal).ended);
    assert.equal(listenersOf(signal), 0);
  }),

  rule(12, 'consumers that have ended leave no timer and no connection behind', async (scene) => {
    const queue = await scene.open();
    const cycle = async () => {
      for (const begin of Object.values(WAYS)) {
        const { leave, ended } = begin(scene, queue, new AbortController().signal);
        await turns(2);
        await scene.within('the consumer to leave', Promise.resolve(leave()));
        await scene.until('the consumer to end', ended);
      }
    };
    const [few, many] = [new ResourceWatch(), new ResourceWatch()];
    scene.atEnd(() => few.stop());
    scene.atEnd(() => many.stop());
    await few.during(cycle);
    await turns(2);
    await many.during(async () => {
      for (const _ of upTo(10)) await cycle();
    });
    // A backend may keep what its next consumer uses: as much after many as after few, then.
    await scene.until(
      () => `what ten times as many consumers left behind to go: ${many.active.join(', ')}`,
      () => many.active.length <= few.active.length,
    );
  }),

  rule(12, 'a consumer that has ended is not served any more', async (scene) => {
    const queue = await scene.open();
    for (const _ of upTo(25)) {
      for (const begin of Object.values(WAYS)) {
        const { leave, ended } = begin(scene, queue, new AbortController().signal);
        await scene.within('the consumer to leave', Promise.resolve(leave()));
        await scene.until('the consumer to end', ended);
      }
    }
    await scene.publish(queue, [1, 2, 3]);
    const taker = scene.take(queue);
    await scene.gets(taker, [1, 2, 3]);
    for (const delivery of taker.deliveries) scene.isAttempt(delivery, 1);
    await scene.settle(taker.held);
    await scene.counts(queue, { ready: 0, unfinished: 0 });
  }),
];

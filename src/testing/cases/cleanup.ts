import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import type { QueueBackend } from '../../backend.js';
import { type CaseContext, turns, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { ResourceWatch } from '../resources.js';
import { acking } from '../test-consumer.js';

/** Starts a consumer with a signal. */
type Start = (
  t: CaseContext,
  queue: QueueBackend,
  signal: AbortSignal,
) => { leave(): unknown; readonly ended: () => boolean };

const CONSUMERS: Readonly<Record<string, Start>> = {
  'a subscription': (t, queue, signal) => {
    const consumer = t.addConsumer(queue, { signal }, acking);
    let left = false;
    const leave = () => {
      left = true;
      consumer.unsubscribe();
    };
    return { leave, ended: () => consumer.completed || left };
  },
  'consume()': (t, queue, signal) => iterated(t.consume(queue, { signal })),
  'consume() with a prefetch': (t, queue, signal) => iterated(t.consume(queue, { signal, prefetch: 4 })),
  'a loop over deliveries()': (t, queue, signal) => iterated(t.iterate(queue, { signal })),
};

function iterated(iterator: Required<AsyncIterator<unknown, unknown, unknown>>): ReturnType<Start> {
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

/** Rule 12: nothing is left of an ended consumer. */
export const cleanup: readonly Definition[] = [
  ...Object.entries(CONSUMERS).map(([name, begin]) =>
    rule(12, `${name} that has ended leaves no listener on its signal`, async (t) => {
      const queue = await t.open();
      const lasting = new AbortController();
      for (const _ of upTo(5)) {
        const { leave, ended } = begin(t, queue, lasting.signal);
        await t.publish(queue, [1]);
        await t.counts(queue, { ready: 0 });
        await t.within('the consumer to leave', Promise.resolve(leave()));
        await t.until('the consumer to end', ended);
        await t.until(
          () => `no listener on the signal of a consumer that left; there are ${listenersOf(lasting.signal)}`,
          () => listenersOf(lasting.signal) === 0,
        );
        const aborted = new AbortController();
        const { ended: abortedEnded } = begin(t, queue, aborted.signal);
        aborted.abort();
        await t.until('the consumer to end', abortedEnded);
        await t.until('no listener on a signal that was aborted', () => listenersOf(aborted.signal) === 0);
      }
      const closed = begin(t, queue, lasting.signal);
      await t.within('close() to resolve', queue.close());
      await t.until('the consumer to end', closed.ended);
      await t.until('no listener on the signal after close()', () => listenersOf(lasting.signal) === 0);
    }),
  ),

  rule(12, 'a consumer with an already aborted signal adds no listener', async (t) => {
    const queue = await t.open();
    const signal = AbortSignal.abort();
    for (const begin of Object.values(CONSUMERS)) await t.until('the consumer to end', begin(t, queue, signal).ended);
    assert.equal(listenersOf(signal), 0);
  }),

  rule(12, 'ended consumers leave no timer and no connection behind', async (t) => {
    const queue = await t.open();
    const cycle = async () => {
      for (const begin of Object.values(CONSUMERS)) {
        const { leave, ended } = begin(t, queue, new AbortController().signal);
        await turns(2);
        await t.within('the consumer to leave', Promise.resolve(leave()));
        await t.until('the consumer to end', ended);
      }
    };
    const [few, many] = [new ResourceWatch(), new ResourceWatch()];
    t.atEnd(() => few.stop());
    t.atEnd(() => many.stop());
    await few.during(cycle);
    await turns(2);
    await many.during(async () => {
      for (const _ of upTo(10)) await cycle();
    });
    // A backend may keep resources for its next consumer, but no more after many consumers than
    // after few.
    await t.until(
      () => `the resources of ten times as many consumers to be freed: ${many.active.join(', ')}`,
      () => many.active.length <= few.active.length,
    );
  }),

  rule(12, 'an ended consumer gets no more messages', async (t) => {
    const queue = await t.open();
    for (const _ of upTo(25)) {
      for (const begin of Object.values(CONSUMERS)) {
        const { leave, ended } = begin(t, queue, new AbortController().signal);
        await t.within('the consumer to leave', Promise.resolve(leave()));
        await t.until('the consumer to end', ended);
      }
    }
    await t.publish(queue, [1, 2, 3]);
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1, 2, 3]);
    for (const delivery of consumer.deliveries) t.isAttempt(delivery, 1);
    await t.settle(consumer.inFlight);
    await t.counts(queue, { ready: 0, unfinished: 0 });
  }),
];

import assert from 'node:assert/strict';
import type { Delivery } from '../../backend.js';
import { failure } from '../capabilities.js';
import { type CaseContext, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';

/** The timer must fire this often while a loop runs. */
const TIMER_RUNS = 10;

/**
 * A redelivery may not arrive within this many microtasks. In a later macrotask all of them have
 * run.
 */
const MICROTASKS = 1000;

/**
 * The most deliveries of one message in one macrotask. Two subscribers that take turns correctly
 * get two.
 */
const MOST_IN_A_TURN = 1000;

const { clearInterval, performance, setImmediate, setInterval } = globalThis;

/** Runs a loop until a timer of 5 ms has fired often enough. The loop asks `more` in each round. */
async function besideTimer(t: CaseContext, loop: (more: () => boolean) => Promise<void>): Promise<void> {
  let fired = 0;
  let since = performance.now();
  const timer = setInterval(() => {
    fired++;
    since = performance.now();
  }, 5);
  const more = () => {
    // Checked inside the loop: a loop that starves the event loop is not ended by a timer.
    const starved = performance.now() - since;
    if (starved > t.deadline)
      throw failure(`The loop starves the event loop: a timer of 5 ms has not fired for ${starved.toFixed(0)} ms`);
    return fired < TIMER_RUNS;
  };
  try {
    await loop(more);
  } finally {
    clearInterval(timer);
  }
}

/** Requeues each delivery. Counts redeliveries in the same macrotask. */
function requeueing(how: 'nack' | 'release') {
  let early = 0;
  let sameTurn = false;
  const onDelivery = (delivery: Delivery): unknown => {
    if (sameTurn) {
      early++;
      // Ends a redelivery that spins.
      return delivery.ack();
    }
    sameTurn = true;
    void (async () => {
      for (let passed = 0; passed < MICROTASKS; passed++) await null;
      sameTurn = false;
    })();
    return delivery[how]();
  };
  return { onDelivery, early: () => early };
}

/**
 * Nacks each delivery while `more` holds. Fails if the redelivery spins, which no timer could end.
 */
function nacking(more: () => boolean) {
  let inThisTurn = 0;
  let spins = false;
  return (delivery: Delivery): unknown => {
    if (inThisTurn++ === 0) {
      setImmediate(() => {
        inThisTurn = 0;
      });
    }
    if (!spins && inThisTurn <= MOST_IN_A_TURN) return more() ? delivery.nack() : delivery.ack();
    spins = true;
    void delivery.ack();
    throw failure(`The redelivery spins: a nacked message was redelivered ${inThisTurn} times in one macrotask`);
  };
}

/** Rules 13 and 14: no loop starves the event loop, and no redelivery spins. */
export const eventLoop: readonly Definition[] = [
  rule(13, 'timers fire while a publisher awaits each publish and a loop consumes', async (t) => {
    const queue = await t.open();
    const payloads = t.consume(queue);
    // The first message includes the setup of a broker.
    await t.publish(queue, [0]);
    await t.within('next() to resolve', payloads.next());
    await besideTimer(t, async (more) => {
      let [published, consumed] = [0, 0];
      const publisher = async () => {
        // On a slow broker, at least until the first message has arrived.
        while (more() || consumed === 0) {
          await queue.publish('number', { n: published });
          published++;
        }
      };
      const consumer = async () => {
        while (more() || consumed === 0) {
          if ((await payloads.next()).done) break;
          consumed++;
        }
      };
      const consuming = consumer();
      await publisher();
      await payloads.return();
      await consuming;
      assert.ok(consumed > 0, 'Expected the consumer to receive a message');
    });
  }),

  rule(13, 'timers fire while one loop publishes and consumes', (t) =>
    besideTimer(t, async (more) => {
      const queue = await t.open();
      const deliveries = t.iterate(queue);
      while (more()) {
        const published = queue.publish('number', { n: 1 });
        await deliveries.next();
        await published;
      }
    }),
  ),

  rule(13, 'timers fire while a publisher without a consumer awaits each publish', (t) =>
    besideTimer(t, async (more) => {
      const queue = await t.open();
      while (more()) await queue.publish('number', { n: 1 });
    }),
  ),

  ...(['nack', 'release'] as const).map((how) =>
    rule(14, `after a ${how}() a subscriber takes its next message in a later macrotask`, async (t) => {
      const queue = await t.open();
      const { onDelivery, early } = requeueing(how);
      const consumer = t.addConsumer(queue, { prefetch: 1 }, onDelivery);
      await t.publish(queue, [1, 2]);
      await t.until(
        () => `8 deliveries, got ${consumer.deliveries.length}`,
        () => consumer.deliveries.length >= 8 || early() > 0,
        () => consumer.deliveries.length,
      );
      consumer.unsubscribe();
      assert.equal(early(), 0, `Expected no delivery in the macrotask of the ${how}(), got ${early()}`);
      await t.counts(queue, { ready: 2, unfinished: 2 });
    }),
  ),

  rule(14, 'timers fire while two subscribers nack one message in turn', async (t) => {
    const queue = await t.open();
    let more = () => true;
    const onDelivery = nacking(() => more());
    const consumers = upTo(2).map(() => t.addConsumer(queue, {}, onDelivery));
    const delivered = () => consumers.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    await t.publish(queue, [1]);
    await t.receives(consumers, 1);
    await besideTimer(t, async (goesOn) => {
      more = goesOn;
      await t.until('the timer to fire', () => !more(), delivered);
    });
    await t.counts(queue, { unfinished: 0 });
    assert.ok(delivered() > 1, 'Expected redeliveries of the message');
  }),
];

import assert from 'node:assert/strict';
import type { Delivery } from '../../backend.js';
import { failure } from '../capabilities.js';
import { type Definition, rule } from '../definition.js';
import { type Scene, upTo } from '../scene.js';

/** How often the timer beside a loop has to fire. */
const ENOUGH = 10;

/** How many microtasks pass before a message that was given back may come again. In a later macrotask all of them have passed. */
const MICROTASKS = 1000;

/** How many deliveries of one message may come in one macrotask. Two subscribers that wait for the next one, as they have to, get two. */
const MOST_IN_A_TURN = 1000;

const { clearInterval, performance, setImmediate, setInterval } = globalThis;

/** Runs a loop beside a timer of 5 ms, until that has fired often enough. The loop asks `more` in each round. */
async function besideTimer(scene: Scene, loop: (more: () => boolean) => Promise<void>): Promise<void> {
  let fired = 0;
  let since = performance.now();
  const timer = setInterval(() => {
    fired++;
    since = performance.now();
  }, 5);
  const more = () => {
    // Looked at from inside the loop: while it starves the event loop, no timer could end it.
    const starved = performance.now() - since;
    if (starved > scene.deadline)
      throw failure(`The loop starves the event loop: a timer of 5 ms has not fired for ${starved.toFixed(0)} ms`);
    return fired < ENOUGH;
  };
  try {
    await loop(more);
  } finally {
    clearInterval(timer);
  }
}

/** Settles each delivery in a way that brings it back; says how many came before they might. */
function givingBack(how: 'nack' | 'release') {
  let early = 0;
  let sameTurn = false;
  const onDelivery = (delivery: Delivery): unknown => {
    if (sameTurn) {
      early++;
      // A redelivery that spins is not to go on for ever.
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

/** Nacks each delivery as long as there is to be more. A redelivery that spins is ended: no timer could do that. */
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
    throw failure(`The redelivery spins: a message that was nacked came ${inThisTurn} times in one macrotask`);
  };
}

/** Rules 13 and 14. */
export const eventLoop: readonly Definition[] = [
  rule(13, 'a timer goes on firing beside a publisher that awaits and a loop over consume()', async (scene) => {
    const queue = await scene.open();
    const payloads = scene.consume(queue);
    // What a broker sets up for the first message is not to take up the time.
    await scene.publish(queue, [0]);
    await scene.within('next() to resolve', payloads.next());
    await besideTimer(scene, async (more) => {
      let [published, consumed] = [0, 0];
      const publisher = async () => {
        // Where a broker takes its time, until something has come.
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
      assert.ok(consumed > 0, 'Expected the consumer to get something meanwhile');
    });
  }),

  rule(13, 'a timer goes on firing beside a loop that publishes and takes', (scene) =>
    besideTimer(scene, async (more) => {
      const queue = await scene.open();
      const deliveries = scene.iterate(queue);
      while (more()) {
        const published = queue.publish('number', { n: 1 });
        await deliveries.next();
        await published;
      }
    }),
  ),

  rule(13, 'a timer goes on firing while messages that nobody takes are published one after the other', (scene) =>
    besideTimer(scene, async (more) => {
      const queue = await scene.open();
      while (more()) await queue.publish('number', { n: 1 });
    }),
  ),

  ...(['nack', 'release'] as const).map((how) =>
    rule(14, `after a ${how}() a subscriber takes its next message in a later macrotask`, async (scene) => {
      const queue = await scene.open();
      const { onDelivery, early } = givingBack(how);
      const taker = scene.take(queue, { prefetch: 1 }, onDelivery);
      await scene.publish(queue, [1, 2]);
      await scene.until(
        () => `8 deliveries, got ${taker.deliveries.length}`,
        () => taker.deliveries.length >= 8 || early() > 0,
        () => taker.deliveries.length,
      );
      taker.leave();
      assert.equal(early(), 0, `Expected nothing in the macrotask of the ${how}(), got ${early()} deliveries in it`);
      await scene.counts(queue, { ready: 2, unfinished: 2 });
    }),
  ),

  rule(14, 'a timer goes on firing while two subscribers nack a message to and fro', async (scene) => {
    const queue = await scene.open();
    let more = () => true;
    const onDelivery = nacking(() => more());
    const takers = upTo(2).map(() => scene.take(queue, {}, onDelivery));
    const delivered = () => takers.reduce((sum, { deliveries }) => sum + deliveries.length, 0);
    await scene.publish(queue, [1]);
    await scene.got(takers, 1);
    await besideTimer(scene, async (goesOn) => {
      more = goesOn;
      await scene.until('the timer to fire', () => !more(), delivered);
    });
    await scene.counts(queue, { unfinished: 0 });
    assert.ok(delivered() > 1, 'Expected the message again and again meanwhile');
  }),
];

import assert from 'node:assert/strict';
import { type CaseContext, HOUR, present, upTo } from '../case-context.js';
import { type Definition, rule } from '../definition.js';
import { acking } from '../test-consumer.js';

/** Returns the name of the error that a call throws. */
function thrownBy(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return (error as Error).name;
  }
  return undefined;
}

/**
 * Checks that a consumer that settles nothing gets `prefetch` of `count` messages, and another
 * consumer gets the rest.
 */
async function limitsInFlight(t: CaseContext, prefetch: number, count: number): Promise<void> {
  const queue = await t.open();
  const holder = t.addConsumer(queue, { prefetch });
  await t.publish(queue, upTo(count));
  await t.receives(holder, prefetch);
  const others = t.addConsumer(queue, { prefetch: 1 }, acking);
  await t.receives([holder, others], count);
  assert.equal(
    holder.deliveries.length,
    prefetch,
    `Expected a subscriber with a prefetch of ${prefetch} to have no more in flight`,
  );
  await t.receivesExactly(others, upTo(count).slice(prefetch));
}

/** Rule 7: the prefetch limits unsettled deliveries. */
export const prefetch: readonly Definition[] = [
  ...[1, 3].map((limit) =>
    rule(7, `a subscriber with a prefetch of ${limit} has no more in flight, and others get the rest`, (t) =>
      limitsInFlight(t, limit, 10),
    ),
  ),

  rule(7, 'the default prefetch of a subscriber is 32', async (t) => {
    const queue = await t.open();
    assert.equal(queue.deliveries().prefetch, 32);
    assert.equal(queue.deliveries({ prefetch: 5 }).prefetch, 5);
    const holder = t.addConsumer(queue);
    await t.publish(queue, upTo(40));
    await t.receives(holder, 32);
    await t.receivesExactly(t.addConsumer(queue, { prefetch: 1 }, acking), upTo(40).slice(32));
    assert.equal(holder.deliveries.length, 32);
  }),

  rule(7, 'the prefetch holds for any order of settlements, and no credit is lost', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(60));
    // A fixed pseudo-random sequence.
    let seed = 1;
    const holder = t.addConsumer(queue, { prefetch: 5 });
    for (let done = 0; done < 60; done++) {
      await t.receives(holder, Math.min(60, done + 5));
      const { inFlight } = holder;
      assert.ok(inFlight.length <= 5, `Expected at most 5 deliveries in flight, got ${inFlight.length}`);
      seed = (seed * 16_807) % 2_147_483_647;
      await t.settle([present(inFlight[seed % inFlight.length])], seed % 3 === 0 ? 'reject' : 'ack');
    }
    assert.equal(holder.mostInFlight, 5);
    assert.deepEqual(
      holder.numbers.toSorted((a, b) => a - b),
      upTo(60),
    );
    await t.counts(queue, { unfinished: 0 });
  }),

  rule(7, 'a second settlement returns no second credit', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(6));
    const holder = t.addConsumer(queue, { prefetch: 2 });
    await t.receivesExactly(holder, [1, 2]);
    const delivery = holder.of(1);
    await t.settle([delivery]);
    for (const how of ['ack', 'nack', 'release', 'reject'] as const)
      await t.within(`a later ${how}() to resolve`, delivery[how]());
    await t.receivesExactly(holder, [1, 2, 3]);
    await t.receivesExactly(t.addConsumer(queue, { prefetch: 1 }, acking), [4, 5, 6]);
    assert.deepEqual(holder.numbers, [1, 2, 3]);
  }),

  rule(7, 'every settlement returns its credit at once, also a delayed nack', async (t) => {
    const queue = await t.open();
    await t.publish(queue, upTo(5));
    const consumer = t.addConsumer(queue, { prefetch: 1 });
    await t.receivesExactly(consumer, [1]);
    await t.settle(consumer.inFlight);
    await t.receivesExactly(consumer, [1, 2]);
    await t.settle(consumer.inFlight, 'reject');
    await t.receivesExactly(consumer, [1, 2, 3]);
    assert.equal(await t.within('nack() to resolve', consumer.of(3).nack({ delay: HOUR })), true);
    await t.receivesExactly(consumer, [1, 2, 3, 4]);
    await t.settle(consumer.inFlight, 'release');
    await t.receivesExactly(consumer, [1, 2, 3, 4, 4]);
    await t.settle(consumer.inFlight);
    await t.receivesExactly(consumer, [1, 2, 3, 4, 4, 5]);
  }),

  rule(7, 'two subscriptions to one stream have separate credit', async (t) => {
    const queue = await t.open();
    const stream = queue.deliveries({ prefetch: 2 });
    const holders = [t.subscribe(stream), t.subscribe(stream)] as const;
    await t.publish(queue, upTo(6));
    await t.receives(holders, 4);
    const others = t.addConsumer(queue, { prefetch: 1 }, acking);
    await t.receivesExactly(others, [5, 6]);
    await t.counts(queue, { ready: 0, unfinished: 4 });
    others.unsubscribe();
    for (const holder of holders) assert.equal(holder.deliveries.length, 2);
    holders[0].unsubscribe();
    await t.counts(queue, { ready: 2, unfinished: 4 });
    await t.settle(holders[1].inFlight);
    await t.receives(holders[1], 4);
  }),

  rule(7, 'invalid options are refused with a TypeError or RangeError', async (t) => {
    const queue = await t.open();
    const invalid: readonly object[] = [
      { prefetch: 0 },
      { prefetch: 1.5 },
      { prefetch: -1 },
      { prefetch: '2' },
      { prefetch: Number.NaN },
      { group: '' },
      { signal: {} },
    ];
    for (const options of invalid) {
      for (const face of ['deliveries', 'consume'] as const) {
        const name = thrownBy(() => queue[face](options));
        assert.ok(
          name === 'TypeError' || name === 'RangeError',
          `Expected ${face}(${JSON.stringify(options)}) to throw a TypeError or RangeError, got ${name}`,
        );
      }
    }
  }),
];

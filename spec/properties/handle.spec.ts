import fc from 'fast-check';
import { Holder, numberOf } from '../support/consumers.js';
import type { Inside, Message, Settings, Step, Stop } from '../support/handling-steps.js';
import { expectedRun, Laboratory } from '../support/model-handling.js';

const takes = fc.constantFrom(0, 0, 5, 15);
const fails = fc.constantFrom<Step['end']>('throw', 'reject', 'error', 'never');
const ends = fc.constantFrom<Step['end']>(
  'return',
  'throw',
  'throw',
  'resolve',
  'reject',
  'reject',
  'complete',
  'error',
  'iterate',
  'never',
);
const hand = fc.option(fc.constantFrom('ack', 'nack', 'release', 'reject'), { nil: undefined, freq: 8 });
const step: fc.Arbitrary<Step> = fc.record({ end: ends, takes, hand });

const message: fc.Arbitrary<Message> = fc.record({
  key: fc.constantFrom('a', 'a', 'b', 'c'),
  steps: fc.oneof(
    { weight: 3, arbitrary: fc.array(step, { maxLength: 5 }) },
    { weight: 1, arbitrary: fc.array(fc.record({ end: fails, takes }), { minLength: 6, maxLength: 6 }) },
  ),
});
const messages = fc.array(message, { maxLength: 10 });

const settings: fc.Arbitrary<Settings> = fc.record({
  concurrency: fc.integer({ min: 1, max: 4 }),
  prefetch: fc.oneof(
    { weight: 3, arbitrary: fc.integer({ min: 1, max: 6 }) },
    { weight: 1, arbitrary: fc.constant('auto' as const) },
  ),
  limited: fc.boolean(),
  obeysCredit: fc.boolean(),
  ordered: fc.boolean(),
  timeout: fc.constantFrom(undefined, 10),
  retry: fc.record({ count: fc.integer({ min: 0, max: 3 }), delay: fc.constantFrom(0, 5, 50) }),
  deadLetter: fc.constantFrom('none', 'queue', 'flaky'),
  slow: fc.boolean(),
});

const stop: fc.Arbitrary<Stop> = fc.record({
  how: fc.constantFrom('signal', 'unsubscribe', 'shutdown'),
  timeout: fc.constantFrom(0, 10, 100, Number.POSITIVE_INFINITY),
});
const pauses = fc.array(fc.constantFrom(0, 1, 5, 20, 60, 1100), { maxLength: 6 });
const via = fc.constantFrom<'operator' | 'consumer'>('operator', 'consumer');

const inside: fc.Arbitrary<Inside | undefined> = fc.option(
  fc.record({ where: fc.constantFrom('handler', 'outcome', 'deadLetter'), call: fc.integer({ min: 1, max: 6 }) }),
  { nil: undefined },
);
/** The clock at the stop, and the number of microtasks since then: results may be in transit. */
const moment = fc.record({ since: fc.constantFrom(0, 5, 10, 15), microtasks: fc.nat(6) });

/** A consumer from its start to its stop, and the messages that are published meanwhile. */
const shift = fc.record({ via, pair: fc.boolean(), before: messages, during: messages, pauses, inside, moment, stop });

const FINAL = new Set(['acked', 'rejected', 'dead-lettered']);

/** Advances the time until nothing is unfinished. */
async function settle(laboratory: Laboratory): Promise<void> {
  for (let step = 0; step < 200 && laboratory.queue.unfinished > 0; step++)
    await laboratory.advance(step < 20 ? 50 : 5000);
  expect(laboratory.queue.unfinished).toBe(0);
  await laboratory.queue.join();
}

/** The invariants at the end of any run. */
function expectGoodEnd(laboratory: Laboratory, { stopped }: { readonly stopped: boolean }): void {
  const { messages, outcomes, runs, problems, settings, failed, letters } = laboratory;
  expect(problems).toEqual([]);
  const finals = outcomes.filter(({ status }) => FINAL.has(status)).map(({ delivery }) => numberOf(delivery.payload));
  expect(finals.toSorted((a, b) => a - b)).toEqual(messages.map((_, n) => n));
  expect(runs.filter(({ outcomes }) => outcomes.length !== 1)).toEqual([]);
  const deadLettered = outcomes
    .filter(({ status }) => status === 'dead-lettered')
    .map(({ delivery }) => numberOf(delivery.payload));
  const taken = settings.deadLetter === 'flaky' ? letters : new Holder(failed, { prefetch: 1000 }).numbers;
  // A consumer that stops before the publish of a dead letter settles releases the message with its
  // error, although the dead letter may be stored.
  const undecided = outcomes.filter(({ status, error }) => stopped && status === 'released' && error !== undefined);
  const possible = [...deadLettered, ...undecided.map(({ delivery }) => numberOf(delivery.payload))];
  const countsIn = (list: readonly number[]) => messages.map((_, n) => list.filter((one) => one === n).length);
  const most = countsIn(possible);
  expect(taken).toEqual(expect.arrayContaining(deadLettered));
  expect(countsIn(taken).filter((count, n) => count > (most[n] ?? 0))).toEqual([]);
  expect([laboratory.running, laboratory.timers, laboratory.queue.inFlight]).toEqual([0, 0, 0]);
}

/**
 * Expects that messages of a key were handled in publish order, unless a handler requeued one
 * itself.
 */
function expectOrder({ messages, outcomes }: Laboratory): void {
  for (const key of ['a', 'b', 'c']) {
    const own = messages.flatMap((message, n) => (message.key === key ? [{ message, n }] : []));
    if (own.some(({ message }) => message.steps.some(({ hand }) => hand === 'nack' || hand === 'release'))) continue;
    const acked = outcomes
      .filter(({ delivery, status }) => delivery.key === key && status === 'acked')
      .map(({ delivery }) => numberOf(delivery.payload));
    expect(acked).toEqual(acked.toSorted((a, b) => a - b));
  }
}

describe('handle and AsyncLoopConsumer with random messages, handlers and options', () => {
  it('handle each message exactly as the model predicts if they are never stopped', async () => {
    await fc.assert(
      fc.asyncProperty(settings, messages, messages, pauses, via, async (settings, before, during, pauses, via) => {
        const laboratory = new Laboratory(settings);
        // A handler that never ends without a timeout would block the others.
        const endless = ({ steps }: Message) =>
          settings.timeout === undefined && steps.some(({ end }) => end === 'never');
        for (const message of before) if (!endless(message)) laboratory.publish(message);
        const worker = laboratory.start(via);
        for (const pause of pauses) await laboratory.advance(pause);
        for (const message of during) if (!endless(message)) laboratory.publish(message);
        await settle(laboratory);
        // Advances until the last handler was started more than a second ago.
        await laboratory.advance(3000);
        expectGoodEnd(laboratory, { stopped: false });
        if (settings.ordered) expectOrder(laboratory);
        for (const [n, message] of laboratory.messages.entries()) {
          const { attempts, statuses } = expectedRun(message, settings);
          const runs = laboratory.runs.filter((run) => run.n === n);
          expect(runs.map(({ attempt }) => attempt)).toEqual(attempts);
          expect(runs.map(({ outcomes }) => outcomes[0]?.status)).toEqual(statuses);
        }
        await worker.stop({ how: 'shutdown', timeout: 0 });
        expect(laboratory.timers).toBe(0);
      }),
      { numRuns: 200 },
    );
  });

  it('lose and duplicate no message if they are stopped at random points and started again', async () => {
    await fc.assert(
      fc.asyncProperty(
        settings,
        fc.array(shift, { minLength: 1, maxLength: 4 }),
        via,
        async (settings, shifts, last) => {
          const laboratory = new Laboratory(settings);
          laboratory.inPairs = shifts.some(({ pair }) => pair) && shifts.length % 2 === 0;
          for (const { via, pair, before, during, pauses, inside, moment, stop } of shifts) {
            for (const message of before) laboratory.publish(message);
            const workers = [laboratory.start(via, stop, inside)];
            if (laboratory.inPairs && pair) workers.push(laboratory.start(via, stop, inside));
            for (const pause of pauses) await laboratory.advance(pause);
            for (const message of during) laboratory.publish(message);
            laboratory.clock.advance(moment.since);
            for (let tick = 0; tick < moment.microtasks; tick++) await null;
            for (const worker of workers) await worker.stop(stop);
            expect([laboratory.queue.inFlight, laboratory.running]).toEqual([0, 0]);
            // The queue has one timer, for messages nacked with a delay.
            expect(laboratory.timers).toBeLessThanOrEqual(laboratory.queue.size === 0 ? 0 : 1);
          }
          laboratory.succeeds = true;
          const worker = laboratory.start(last);
          await settle(laboratory);
          await worker.stop({ how: 'shutdown', timeout: 0 });
          expectGoodEnd(laboratory, { stopped: true });
          if (settings.ordered && !laboratory.inPairs) expectOrder(laboratory);
        },
      ),
      { numRuns: 300 },
    );
  });
});

import fc from 'fast-check';
import { Subject } from 'rxjs';
import { type BridgeOverflow, toAsyncBatches, toAsyncIterable } from '../../src/index.js';

type Answer = number | number[] | 'done' | 'failed' | 'overflow';

const step = fc.oneof(
  { weight: 6, arbitrary: fc.constant('push' as const) },
  { weight: 6, arbitrary: fc.constant('next' as const) },
  { weight: 2, arbitrary: fc.constant('turn' as const) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'complete' as const,
      'error' as const,
      'return' as const,
      'throw' as const,
      'abort' as const,
    ),
  },
);
const steps = fc.array(step, { maxLength: 40, size: 'max' });
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/**
 * Drives an iterator over a subject. Collects the result of each `next()` in the order of the
 * calls.
 */
async function drive<Value>(
  create: (source: Subject<number>, signal: AbortSignal) => AsyncIterableIterator<Value>,
  steps: readonly Step[],
) {
  const source = new Subject<number>();
  const controller = new AbortController();
  const iterator = create(source, controller.signal);
  const answers: Promise<Answer>[] = [];
  const settled: number[] = [];
  let pushed = 0;
  for (const step of steps) {
    if (step === 'push') source.next(pushed++);
    else if (step === 'turn') await new Promise((resolve) => setImmediate(resolve));
    else if (step === 'complete') source.complete();
    else if (step === 'error') source.error(new Error('failed'));
    else if (step === 'abort') controller.abort();
    else if (step === 'return') void iterator.return?.();
    else if (step === 'throw') iterator.throw?.(new Error('thrown')).catch(() => {});
    else {
      const call = answers.length;
      const answer = iterator.next().then(
        ({ done, value }) => (done ? 'done' : (value as Answer)),
        (error: { code?: string }) => (error.code === 'SLUICE_QUEUE_OVERFLOW' ? 'overflow' : 'failed'),
      );
      answers.push(answer.finally(() => settled.push(call)));
    }
  }
  controller.abort();
  const result = await Promise.all(answers);
  expect(source.observed).toBe(false);
  expect(settled).toEqual([...settled].sort((one, other) => one - other));
  return result;
}

/** The model, with an array as the buffer: the expected result of each `next()`. */
function expectedAnswers(steps: readonly Step[], overflow: BridgeOverflow, capacity: number): Answer[] {
  const answers: (Answer | undefined)[] = [];
  const parked: number[] = [];
  let buffer: number[] = [];
  let state: 'idle' | 'open' | 'completed' | 'failed' | 'overflow' | 'ended' = 'idle';
  let source: 'open' | 'complete' | 'error' = 'open';
  let pushed = 0;

  const exhaust = (how: 'completed' | 'failed' | 'overflow') => {
    if (state !== 'open') return;
    state = how;
    if (parked.length > 0) end();
  };
  const failure = (): Answer => (state === 'failed' || state === 'overflow' ? state : 'done');
  const end = () => {
    for (const [index, call] of parked.splice(0).entries()) answers[call] = index === 0 ? failure() : 'done';
    buffer = [];
    state = 'ended';
  };
  const leave = () => {
    state = 'open';
    end();
  };

  for (const step of steps) {
    if (step === 'push') {
      const value = pushed++;
      if (source !== 'open' || state !== 'open') continue;
      const call = parked.shift();
      if (call !== undefined) answers[call] = value;
      else if (buffer.length < capacity) buffer.push(value);
      else if (overflow === 'error') exhaust('overflow');
      else if (overflow === 'drop-oldest') buffer = [...buffer.slice(1), value];
    } else if (step === 'complete' || step === 'error') {
      if (source !== 'open') continue;
      source = step;
      exhaust(step === 'complete' ? 'completed' : 'failed');
    } else if (step === 'return' || step === 'throw' || step === 'abort') leave();
    else if (step === 'next') {
      const call = answers.push(undefined) - 1;
      if (state === 'idle') {
        state = 'open';
        if (source !== 'open') exhaust(source === 'complete' ? 'completed' : 'failed');
      }
      if (buffer.length > 0) answers[call] = buffer.shift() as number;
      else if (state === 'open') parked.push(call);
      else {
        answers[call] = failure();
        state = 'ended';
      }
    }
  }
  leave();
  return answers as Answer[];
}

describe('toAsyncIterable and a simple model', () => {
  const policies = fc.constantFrom<{ overflow: BridgeOverflow; capacity?: number }>(
    { overflow: 'buffer' },
    { overflow: 'error', capacity: 2 },
    { overflow: 'drop-oldest', capacity: 1 },
    { overflow: 'drop-newest', capacity: 3 },
  );

  it('return the same result for every next(), whatever ends the iteration', async () => {
    await fc.assert(
      fc.asyncProperty(policies, steps, async (policy, steps) => {
        const answers = await drive((source, signal) => toAsyncIterable(source, { ...policy, signal }), steps);
        expect(answers).toEqual(expectedAnswers(steps, policy.overflow, policy.capacity ?? Number.POSITIVE_INFINITY));
      }),
      { numRuns: 300 },
    );
  });
});

describe('toAsyncBatches', () => {
  it('returns the same values as toAsyncIterable in order, in batches that are neither empty nor too large', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 2, 3, Number.POSITIVE_INFINITY), steps, async (maxSize, steps) => {
        const open = steps.filter((step) => step === 'push' || step === 'next' || step === 'turn');
        const answers = await drive(
          (source, signal) => toAsyncBatches(source, { maxSize, signal }),
          [...open, 'complete', ...open.map(() => 'next' as const)],
        );
        const batches = answers.filter((answer): answer is number[] => Array.isArray(answer));
        for (const batch of batches) expect(batch.length).toBeGreaterThan(0);
        for (const batch of batches) expect(batch.length).toBeLessThanOrEqual(maxSize);
        const subscribed = open.indexOf('next');
        const missed = open.slice(0, subscribed).filter((step) => step === 'push').length;
        const all = open.filter((step) => step === 'push').length;
        const expected = subscribed < 0 ? [] : Array.from({ length: all - missed }, (_, index) => missed + index);
        expect(batches.flat()).toEqual(expected);
        expect(answers.lastIndexOf('done')).toBe(answers.length - 1 >= batches.length ? answers.length - 1 : -1);
      }),
      { numRuns: 300 },
    );
  });

  it('settles every next(), whatever ends the iteration', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        const answers = await drive((source, signal) => toAsyncBatches(source, { signal }), steps);
        const values = answers.filter((answer): answer is number[] => Array.isArray(answer)).flat();
        expect(values).toEqual([...values].sort((one, other) => one - other));
        expect(answers.filter((answer) => answer === 'failed').length).toBeLessThanOrEqual(1);
      }),
      { numRuns: 300 },
    );
  });
});

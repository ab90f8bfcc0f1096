import { type ToAsyncBatchesOptions, type ToAsyncIterableOptions, toAsyncBatches, toAsyncIterable } from 'sluice';
import { type Frames, inFrames } from '../support/frames.js';

/** A loop whose body takes some frames for each value. */
const slowLoop =
  ({ busy }: Frames, values: AsyncIterable<unknown>, frames: number) =>
  async (show: (value: unknown) => void) => {
    for await (const value of values) {
      show(value);
      await busy(frames);
    }
  };

describe('toAsyncIterable in marbles', () => {
  const loopOver = (frames: Frames, source: string, work: number, options?: ToAsyncIterableOptions) =>
    frames.expectLoop(slowLoop(frames, toAsyncIterable(frames.hot(source), options), work));

  it('gives a loop that waits each value in its frame', () =>
    inFrames(({ hot, expectLoop }) => {
      const values = toAsyncIterable(hot('-a--b-c--|'));
      expectLoop(async (show) => {
        for await (const value of values) show(value);
      }).toBe('                            -a--b-c--|');
    }));

  it('buffers what arrives while the loop is busy', () =>
    inFrames((frames) => {
      const values = toAsyncIterable(frames.hot('          abc---d-----|'));
      frames.expectLoop(slowLoop(frames, values, 3)).toBe('a--b--c--d--|');
    }));

  it('keeps the latest value with a buffer of one that drops the oldest', () =>
    inFrames((frames) => {
      const values = toAsyncIterable(frames.hot('          abcd--------e----|'), {
        overflow: 'drop-oldest',
        capacity: 1,
      });
      frames.expectLoop(slowLoop(frames, values, 5)).toBe('a----d------e----|');
    }));

  it('keeps the first value with a buffer of one that drops the newest', () =>
    inFrames((frames) =>
      loopOver(frames, '                abcd--------e----|', 5, { overflow: 'drop-newest', capacity: 1 }).toBe(
        'a----b------e----|',
      ),
    ));

  it('returns the buffered values before the error', () =>
    inFrames((frames) => loopOver(frames, 'abc#', 3).toBe('a--b--c--#')));

  it('ends with an error after the buffered values when the buffer overflows', () =>
    inFrames(({ hot, busy, expectLoop }) => {
      const values = toAsyncIterable(hot('abcd---'), { overflow: 'error', capacity: 2 });
      expectLoop(async (show) => {
        try {
          for await (const value of values) {
            show(value);
            await busy(3);
          }
        } catch (error) {
          show((error as Error).name);
        }
      }).toBe('a--b--c--(e|)', { a: 'a', b: 'b', c: 'c', e: 'QueueOverflowError' });
    }));
});

describe('toAsyncBatches in marbles', () => {
  const loopOver = (frames: Frames, source: string, work: number, options?: ToAsyncBatchesOptions) =>
    frames.expectLoop(slowLoop(frames, toAsyncBatches(frames.hot(source), options), work));

  it('collects what arrives while the loop is busy', () =>
    inFrames((frames) => {
      const batches = toAsyncBatches(frames.hot('           a-bc--(def)-----|'));
      frames.expectLoop(slowLoop(frames, batches, 4)).toBe('x---y---z-------|', {
        x: ['a'],
        y: ['b', 'c'],
        z: ['d', 'e', 'f'],
      });
    }));

  it('gives a loop that waits all values of one frame at once', () =>
    inFrames((frames) => loopOver(frames, '-(ab)---c-|', 1).toBe('-x------y-|', { x: ['a', 'b'], y: ['c'] })));

  it('splits what has arrived by maxSize', () =>
    inFrames((frames) =>
      loopOver(frames, 'abcd---------|', 4, { maxSize: 2 }).toBe('x---y---z----|', {
        x: ['a'],
        y: ['b', 'c'],
        z: ['d'],
      }),
    ));
});

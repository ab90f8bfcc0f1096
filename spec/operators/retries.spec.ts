import { numberOf, upTo } from '../support/consumers.js';
import { Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';

class Failure extends Error {
  constructor(readonly attempt: number) {
    super(`attempt ${attempt}`);
  }
}

/** Fails before the given attempt. */
const failUntil =
  (success: number) =>
  ({ attempt }: { attempt: number }) => {
    if (attempt < success) throw new Failure(attempt);
    return 'done';
  };

// Always fails.
const fail = failUntil(Number.POSITIVE_INFINITY);

describe('Retries of handle', () => {
  it.each([0, 1, 2, 5])('happen %p times for a failing message', (count) => {
    const processing = new Processing(fail, { retry: { count, delay: 10 } });
    processing.publish([1]);
    processing.clock.advance(1000);
    expect(processing.statuses).toEqual([
      ...upTo(count).map((attempt) => `1#${attempt} retried`),
      `1#${count + 1} rejected`,
    ]);
    expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
  });

  it('stop with the first success', () => {
    const processing = new Processing(failUntil(3), { retry: { count: 5, delay: 10 } });
    processing.publish([1]);
    processing.clock.advance(1000);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 retried', '1#3 acked']);
    expect(processing.values).toEqual(['done']);
  });

  it('never end with a count of Infinity', () => {
    const processing = new Processing(failUntil(1001), { retry: { count: Number.POSITIVE_INFINITY, delay: 1 } });
    processing.publish([1]);
    processing.clock.advance(1000);
    expect(processing.statuses.slice(-2)).toEqual(['1#1000 retried', '1#1001 acked']);
  });

  it('wait for a fixed delay without occupying the slot', () => {
    const starts: string[] = [];
    const processing: Processing = new Processing(
      ({ payload, attempt }) => {
        starts.push(`${numberOf(payload)} at ${processing.clock.scheduler.frame}`);
        if (attempt < 3) throw new Error('boom');
      },
      { retry: { delay: 7 } },
    );
    processing.publish([1, 2]);
    processing.clock.advance(6);
    expect(starts).toEqual(['1 at 0', '2 at 0']);
    processing.clock.advance(100);
    expect(starts.slice(2)).toEqual(['1 at 7', '2 at 7', '1 at 14', '2 at 14']);
  });

  it('wait for the result of a function of the error and the number of the retry', () => {
    const asked: [unknown, number][] = [];
    const starts: number[] = [];
    const processing: Processing = new Processing(
      (delivery) => {
        starts.push(processing.clock.scheduler.frame);
        return failUntil(4)(delivery);
      },
      {
        retry: {
          count: 5,
          delay: (error, retryCount) => {
            asked.push([error, retryCount]);
            return retryCount * 100;
          },
        },
      },
    );
    processing.publish([1]);
    processing.clock.advance(10_000);
    expect(asked.map(([error, retryCount]) => [error instanceof Failure && error.attempt, retryCount])).toEqual([
      [1, 1],
      [2, 2],
      [3, 3],
    ]);
    expect(starts).toEqual([0, 100, 300, 600]);
  });

  it.each([undefined, 'key' as const])('wait for the result of a function of the delivery (orderBy: %p)', (orderBy) => {
    const starts: number[] = [];
    const processing: Processing = new Processing(
      ({ attempt }) => {
        starts.push(processing.clock.scheduler.frame);
        throw new Failure(attempt);
      },
      {
        orderBy,
        retry: { count: 2, delay: (_error, _retryCount, { headers, attempt }) => Number(headers.pause) * attempt },
      },
    );
    void processing.queue.publish('number', { n: 1 }, { headers: { pause: '30' } });
    processing.clock.advance(1000);
    expect(starts).toEqual([0, 30, 90]);
  });

  it('may have no delay', () => {
    const processing = new Processing(fail, { retry: { count: 3, delay: 0 } });
    processing.publish([1]);
    processing.clock.advance();
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 retried', '1#3 retried', '1#4 rejected']);
  });

  it('happen three times with a growing delay by default', () => {
    const random = jest.spyOn(Math, 'random').mockReturnValue(0);
    try {
      const starts: number[] = [];
      const processing: Processing = new Processing(() => {
        starts.push(processing.clock.scheduler.frame);
        throw new Error('boom');
      });
      processing.publish([1]);
      processing.clock.advance(100_000);
      expect(starts).toEqual([0, 1000, 3000, 7000]);
      expect(processing.statuses.at(-1)).toBe('1#4 rejected');
    } finally {
      random.mockRestore();
    }
  });

  it.each([
    ['only a count', { count: 1 }, [0, 1000]],
    ['only a delay', { delay: 10 }, [0, 10, 20, 30]],
    ['neither', {}, [0, 1000, 3000, 7000]],
  ])('have a default for each field, with %s', (_, retry, expected) => {
    const random = jest.spyOn(Math, 'random').mockReturnValue(0);
    try {
      const starts: number[] = [];
      const processing: Processing = new Processing(
        () => {
          starts.push(processing.clock.scheduler.frame);
          throw new Error('boom');
        },
        { retry },
      );
      processing.publish([1]);
      processing.clock.advance(100_000);
      expect(starts).toEqual(expected);
    } finally {
      random.mockRestore();
    }
  });

  it.each<[string, () => number]>([
    [
      'throws',
      () => {
        throw new Error('no idea');
      },
    ],
    ['returns NaN', () => Number.NaN],
    ['returns a negative number', () => -1],
    ['returns Infinity', () => Number.POSITIVE_INFINITY],
    ['returns undefined', () => undefined as unknown as number],
    ['returns a string', () => '5' as unknown as number],
    ['returns a promise', () => Promise.resolve(5) as unknown as number],
  ])('lose no message if the delay %s, and log an error', async (_, delay) => {
    const processing = new Processing(failUntil(3), { retry: { delay } });
    processing.publish([1, 2]);
    processing.clock.advance(100_000);
    await turns();
    expect(processing.statuses.sort()).toEqual([
      '1#1 retried',
      '1#2 retried',
      '1#3 acked',
      '2#1 retried',
      '2#2 retried',
      '2#3 acked',
    ]);
    expect(processing.logger.errors.length).toBeGreaterThan(0);
    expect(processing.logger.errors[0]).toContain('delay');
  });

  it('lose no message if the delay throws in a lane', async () => {
    const delay = () => {
      throw new Error('no idea');
    };
    const processing = new Processing(failUntil(3), { retry: { delay }, orderBy: 'key' });
    processing.publish([1]);
    await processing.pass(100_000);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 retried', '1#3 acked']);
  });
});

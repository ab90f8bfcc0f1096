import type { Delivery } from 'sluice';
import { numberOf } from '../support/consumers.js';
import { type Method, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';

const WAYS: [Method, Delivery['settled'], number][] = [
  ['ack', 'acked', 0],
  ['nack', 'retried', 1],
  ['release', 'released', 1],
  ['reject', 'rejected', 0],
];

const ENDS: [string, () => unknown][] = [
  ['returns', () => 'result'],
  ['resolves', async () => 'result'],
  [
    'throws',
    () => {
      throw new Error('boom');
    },
  ],
  ['rejects', async () => Promise.reject(new Error('boom'))],
];

describe.each(WAYS)('handle with a handler that settles its delivery with %s', (method, settled, unfinished) => {
  it.each(ENDS)('and then %s reports that settlement', async (end, finish) => {
    let left = 1;
    const processing = new Processing((delivery) => {
      if (left-- > 0) void delivery[method]();
      return numberOf(delivery.payload) === 1 ? finish() : undefined;
    });
    const { queue, subscription } = processing;
    processing.publish([1]);
    await turns();
    subscription.unsubscribe();
    expect(processing.statuses).toEqual([`1#1 ${settled}`]);
    expect(processing.outcomes[0]?.delivery.settled).toBe(settled);
    expect('error' in (processing.outcomes[0] ?? {})).toBe(end === 'throws' || end === 'rejects');
    expect(queue.unfinished).toBe(unfinished);
    expect(processing.values).toEqual(end === 'throws' || end === 'rejects' ? [] : ['result']);
  });

  it('does not settle it a second time and logs no such warning', async () => {
    const warned: string[] = [];
    const spy = jest.spyOn(console, 'warn').mockImplementation((message: string) => void warned.push(message));
    try {
      const processing: Processing = new Processing(async (delivery) => {
        await null;
        if (delivery.attempt === 1 && processing.outcomes.length === 0) expect(await delivery[method]()).toBe(true);
        await null;
      });
      processing.publish([1]);
      await turns();
      expect(processing.statuses).toEqual([`1#1 ${settled}`]);
      const rejections = method === 'reject' ? [expect.stringMatching(/^A handler rejected its message: /)] : [];
      expect([warned, processing.logger.warnings]).toEqual([[], rejections]);
    } finally {
      spy.mockRestore();
    }
  });
});

describe('handle with a manual settlement', () => {
  it('occupies the slot until the handler ends', async () => {
    const started: number[] = [];
    let end = (): void => {};
    const processing = new Processing(async (delivery) => {
      started.push(numberOf(delivery.payload));
      void delivery.ack();
      await new Promise<void>((resolve) => {
        end = resolve;
      });
    });
    processing.publish([1, 2]);
    await processing.pass();
    expect(started).toEqual([1]);
    end();
    await processing.pass();
    expect(started).toEqual([1, 2]);
  });

  it('redelivers after a nack with a delay and counts an attempt', async () => {
    const seen: string[] = [];
    const processing: Processing = new Processing((delivery) => {
      seen.push(`${delivery.attempt} at ${processing.clock.scheduler.frame}`);
      if (delivery.attempt === 1) void delivery.nack({ delay: 50 });
    });
    processing.publish([1]);
    processing.clock.advance(50);
    expect(seen).toEqual(['1 at 0', '2 at 50']);
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 acked']);
  });
});

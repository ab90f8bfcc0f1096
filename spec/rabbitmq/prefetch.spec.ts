import { Credit } from '../../src/bridge/credit.js';
import { Prefetch } from '../../src/rabbitmq/prefetch.js';
import { fakeTime, pass } from '../core/fakes.js';
import { turns } from '../support/promises.js';

function following(limit: number, full = true) {
  const credit = new Credit(limit);
  const calls: (number | 'pause')[] = [];
  let changes = 0;
  const prefetch: Prefetch = new Prefetch({
    credit,
    isFull: () => full,
    pause: async () => void calls.push('pause'),
    consume: async (count) => void calls.push(count),
    onChange: () => {
      changes++;
      prefetch.follow();
    },
  });
  credit.obey(() => prefetch.follow());
  return { credit, calls, prefetch, changes: () => changes };
}

describe('Prefetch', () => {
  it('replaces its consumers once the credit has doubled', async () => {
    const { credit, calls, prefetch } = following(10);
    prefetch.begin(10);
    credit.allow(19);
    await turns();
    expect(calls).toEqual([]);
    credit.allow(20);
    await turns();
    expect(calls).toEqual(['pause', 20]);
  });

  it('replaces its consumers some time after the credit has halved', async () => {
    const { credit, calls, prefetch } = following(10);
    const now = jest.spyOn(performance, 'now').mockReturnValue(5000);
    prefetch.begin(10);
    credit.allow(5);
    await turns();
    expect(calls).toEqual([]);
    now.mockReturnValue(6001);
    prefetch.follow();
    await turns();
    expect(calls).toEqual(['pause', 5]);
    now.mockRestore();
  });

  describe('with a smaller credit within a second of the last change', () => {
    beforeEach(fakeTime);
    afterEach(() => jest.useRealTimers());

    it('replaces its consumers when the second is over', async () => {
      const { credit, calls, prefetch } = following(2);
      prefetch.begin(2);
      credit.allow(256);
      await turns();
      await pass(500);
      credit.allow(2);
      await pass(499);
      expect(calls).toEqual(['pause', 256]);
      await pass(1);
      expect(calls).toEqual(['pause', 256, 'pause', 2]);
      expect(jest.getTimerCount()).toBe(0);
    });

    it('uses one timer and replaces nothing if the credit has grown again by then', async () => {
      const { credit, calls, prefetch } = following(256);
      prefetch.begin(256);
      for (const limit of [100, 50, 2]) credit.allow(limit);
      expect(jest.getTimerCount()).toBe(1);
      credit.allow(200);
      await pass(5000);
      expect([calls, jest.getTimerCount()]).toEqual([[], 0]);
    });

    it('leaves no timer after end() and follows the credit no longer', async () => {
      const { credit, calls, prefetch } = following(256);
      prefetch.begin(256);
      credit.allow(2);
      prefetch.end();
      expect(jest.getTimerCount()).toBe(0);
      credit.allow(1);
      await pass(5000);
      expect([calls, jest.getTimerCount()]).toEqual([[], 0]);
    });

    it('leaves no timer if it ends while it replaces its consumers', async () => {
      const { credit, calls, prefetch } = following(2);
      prefetch.begin(2);
      credit.allow(256);
      credit.allow(2);
      prefetch.end();
      await pass(5000);
      expect(calls).toEqual(['pause', 2]);
      expect(jest.getTimerCount()).toBe(0);
    });
  });

  it('consumes nothing while the subscriber pauses, even before begin()', async () => {
    const { credit, calls, prefetch } = following(10);
    expect([prefetch.wanted, prefetch.isPaused]).toEqual([10, false]);
    credit.pause(() => undefined);
    expect(prefetch.wanted).toBe(0);
    prefetch.begin(10);
    await turns();
    expect([calls, prefetch.isPaused]).toEqual([['pause'], true]);
    credit.resume();
    await turns();
    expect([calls, prefetch.isPaused]).toEqual([['pause', 'pause', 10], false]);
  });

  it('follows changes that happen while it replaces its consumers', async () => {
    const { credit, calls, prefetch } = following(1);
    prefetch.begin(1);
    credit.allow(2);
    credit.allow(64);
    credit.pause(() => undefined);
    credit.resume();
    await turns();
    expect(calls).toEqual(['pause', 64]);
  });

  it('never exceeds the maximum of AMQP', () => {
    expect(following(1_000_000).prefetch.wanted).toBe(65_535);
  });
});

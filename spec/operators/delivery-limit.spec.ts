import { type HandleOptions, MemoryBackend, type Outcome } from 'sluice';
import { upTo } from '../support/consumers.js';
import { Handled } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** A handler over a message that was delivered some times before, to consumers that crashed over it. */
async function afterCrashes(crashes: number, options: HandleOptions = {}) {
  const queue = new MemoryBackend({ logger: silentLogger });
  await queue.publish('number', { n: 1 });
  for (const _ of upTo(crashes)) queue.deliveries().subscribe().unsubscribe();
  const runs: number[] = [];
  const handled = new Handled(queue.deliveries(), ({ attempt }) => void runs.push(attempt), options);
  await turns();
  return { queue, handled, runs };
}

describe('A message that was delivered before', () => {
  it.each([3, 19, 22])('to %p consumers that crashed is run, with the defaults', async (crashes) => {
    const { handled, runs } = await afterCrashes(crashes);
    expect(runs).toEqual([crashes + 1]);
    expect(handled.statuses).toEqual([`1#${crashes + 1} acked`]);
  });

  it('more than 23 times is given up without being run, with the defaults', async () => {
    const { handled, runs, queue } = await afterCrashes(23);
    expect(runs).toEqual([]);
    expect(handled.statuses).toEqual(['1#24 rejected']);
    const { error, duration } = handled.outcomes[0] as Outcome;
    expect([duration, error]).toEqual([0, expect.any(Error)]);
    expect((error as Error).message).toContain('24');
    expect((error as Error).message).toContain('deliveryLimit');
    expect(handled.logger.errors.length).toBe(1);
    expect(queue.unfinished).toBe(0);
  });

  it.each([
    [{ retry: { count: 0 } }, 20],
    [{ retry: { count: 10 } }, 30],
    [{ deliveryLimit: 4 }, 4],
    [{ deliveryLimit: 100 }, 100],
    [{ retry: { count: 0 }, deliveryLimit: 1 }, 1],
  ] satisfies [HandleOptions, number][])('is run up to its limit, with %j', async (options, limit) => {
    expect((await afterCrashes(limit - 1, options)).runs).toEqual([limit]);
    expect((await afterCrashes(limit, options)).runs).toEqual([]);
  });

  it.each<[string, HandleOptions]>([
    ['a deliveryLimit of Infinity', { deliveryLimit: Number.POSITIVE_INFINITY }],
    ['a count of Infinity', { retry: { count: Number.POSITIVE_INFINITY } }],
  ])('is run however often that was, with %s', async (_, options) => {
    expect((await afterCrashes(500, options)).runs).toEqual([501]);
  });

  it('is dead-lettered when it is given up without being run, and the next one is handled', async () => {
    const deadLetters = new MemoryBackend({ logger: silentLogger });
    const { queue, handled, runs } = await afterCrashes(4, { deliveryLimit: 4, deadLetter: deadLetters });
    expect([runs, handled.statuses, queue.unfinished]).toEqual([[], ['1#5 dead-lettered'], 0]);
    const dead: unknown[] = [];
    deadLetters.deliveries().subscribe(({ key, payload, headers }) => dead.push(key, payload, headers['sluice-attempts'], headers['sluice-error']));
    expect(dead).toEqual(['number', { n: 1 }, '5', expect.stringContaining('deliveryLimit')]);
    await queue.publish('number', { n: 2 });
    expect(handled.statuses.at(-1)).toBe('2#1 acked');
  });

  it('occupies no slot when it is given up', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    await queue.publish('number', { n: 1 });
    for (const _ of upTo(4)) queue.deliveries().subscribe().unsubscribe();
    await queue.publish('number', { n: 2 });
    const handled = new Handled(queue.deliveries(), () => {}, { deliveryLimit: 4, deadLetter: () => new Promise(() => {}) });
    await turns();
    expect(handled.statuses).toEqual(['2#1 acked']);
    expect(queue.inFlight).toBe(1);
    handled.subscription.unsubscribe();
  });
});

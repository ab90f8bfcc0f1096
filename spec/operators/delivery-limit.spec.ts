import { type Delivery, type HandleOptions, MemoryBackend, type Outcome } from 'sluice';
import { upTo } from '../support/consumers.js';
import { Handled } from '../support/handling.js';
import { turns, until } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** Handles a message that was delivered before to consumers that crashed. */
async function afterCrashes(crashes: number, options: HandleOptions = {}, nacks = 0) {
  const queue = new MemoryBackend({ logger: silentLogger });
  await queue.publish('number', { n: 1 });
  for (const _ of upTo(crashes)) queue.deliveries().subscribe().unsubscribe();
  const runs: number[] = [];
  const handler = (delivery: Delivery) => {
    if (runs.push(delivery.attempt) <= nacks) void delivery.nack();
  };
  const handled = new Handled(queue.deliveries(), handler, options);
  await turns();
  return { queue, handled, runs };
}

describe('A message that was delivered before', () => {
  it.each([3, 22, 23, 500])('to %p crashed consumers is handled by default', async (crashes) => {
    const { handled, runs } = await afterCrashes(crashes);
    expect(runs).toEqual([crashes + 1]);
    expect(handled.statuses).toEqual([`1#${crashes + 1} acked`]);
  });

  it('more than `retry.count` + 20 times is logged once, with the option to set', async () => {
    expect((await afterCrashes(22)).handled.logger.warnings).toEqual([]);
    const told =
      'Delivered more often than `retry.count` + 20: delivery 1 ("number") from queue "default", attempt 24. ';
    const { queue, handled } = await afterCrashes(23, {}, 3);
    await until(() => queue.unfinished === 0);
    expect(handled.statuses).toEqual(['1#24 retried', '1#25 retried', '1#26 retried', '1#27 acked']);
    expect(handled.logger.warnings).toEqual([
      `${told.replace('delivery 1', `delivery ${handled.outcomes[0]?.delivery.id}`)}If its handler ends the process, set \`deliveryLimit\` to at least 4: a message that is delivered more often is given up`,
    ]);
    expect(queue.unfinished).toBe(0);
  });

  it.each<[HandleOptions, number, number]>([
    [{ deliveryLimit: 100 }, 24, 1],
    [{ deliveryLimit: 23 }, 24, 0],
    [{ retry: { count: 0 } }, 21, 1],
    [{ retry: { count: 0 } }, 20, 0],
    [{ retry: { count: Number.POSITIVE_INFINITY } }, 500, 0],
  ])('is logged until it is given up: with %j, on attempt %p', async (options, attempt, times) => {
    const { handled } = await afterCrashes(attempt - 1, options);
    const told = handled.logger.warnings.filter((warning) => warning.includes('Delivered more often'));
    expect(told.length).toBe(times);
    expect(told.join()).toContain(
      times > 0 && options.deliveryLimit ? 'given up after the `deliveryLimit` of 100' : '',
    );
  });

  it('more than `deliveryLimit` times is given up without being handled', async () => {
    const { handled, runs, queue } = await afterCrashes(23, { deliveryLimit: 23 });
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
    [{ deliveryLimit: 4 }, 4],
    [{ deliveryLimit: 100 }, 100],
    [{ retry: { count: 0 }, deliveryLimit: 1 }, 1],
  ] satisfies [HandleOptions, number][])('is handled up to its limit, with %j', async (options, limit) => {
    expect((await afterCrashes(limit - 1, options)).runs).toEqual([limit]);
    expect((await afterCrashes(limit, options)).runs).toEqual([]);
  });

  it.each<[string, HandleOptions]>([
    ['a deliveryLimit of Infinity', { deliveryLimit: Number.POSITIVE_INFINITY }],
    ['a count of Infinity', { retry: { count: Number.POSITIVE_INFINITY } }],
  ])('is handled any number of times, with %s', async (_, options) => {
    expect((await afterCrashes(500, options)).runs).toEqual([501]);
  });

  it('is dead-lettered if it is given up, and the next message is handled', async () => {
    const deadLetters = new MemoryBackend({ logger: silentLogger });
    const { queue, handled, runs } = await afterCrashes(4, { deliveryLimit: 4, deadLetter: deadLetters });
    expect([runs, handled.statuses, queue.unfinished]).toEqual([[], ['1#5 dead-lettered'], 0]);
    const dead: unknown[] = [];
    deadLetters
      .deliveries()
      .subscribe(({ key, payload, headers }) =>
        dead.push(key, payload, headers['sluice-attempts'], headers['sluice-error']),
      );
    expect(dead).toEqual(['number', { n: 1 }, '5', expect.stringContaining('deliveryLimit')]);
    await queue.publish('number', { n: 2 });
    expect(handled.statuses.at(-1)).toBe('2#1 acked');
  });

  it('occupies no slot after it was given up', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    await queue.publish('number', { n: 1 });
    for (const _ of upTo(4)) queue.deliveries().subscribe().unsubscribe();
    await queue.publish('number', { n: 2 });
    const handled = new Handled(queue.deliveries(), () => {}, {
      deliveryLimit: 4,
      deadLetter: () => new Promise(() => {}),
    });
    await turns();
    expect(handled.statuses).toEqual(['2#1 acked']);
    expect(queue.inFlight).toBe(1);
    handled.subscription.unsubscribe();
  });
});

import { MemoryBackend } from 'sluice';
import { publishAll } from '../support/consumers.js';
import { Handled, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';

/**
 * A handler that uses up the time of a microtask run, so that its settlement waits for a macrotask.
 * Then it returns or fails.
 */
function hog(failure?: Error): TestHandler {
  return async () => {
    const end = performance.now() + 20;
    while (performance.now() < end);
    if (failure !== undefined) throw failure;
    return 'done';
  };
}

/** Runs two handlers that have ended but are not settled yet, within microtasks. */
async function endedInTurn(handler: TestHandler, options: ConstructorParameters<typeof Handled>[2] = {}) {
  await turns();
  const queue = new MemoryBackend();
  void publishAll(queue, [1, 2]);
  const handled = new Handled(queue.deliveries(), handler, { concurrency: 2, ...options });
  for (let microtask = 0; microtask < 20; microtask++) await Promise.resolve();
  // The first may be settled already, depending on the last clock check. The second is not.
  expect(handled.outcomes.length).toBeLessThan(2);
  expect(queue.unfinished).toBeGreaterThan(0);
  return { queue, handled };
}

describe('Unsubscribing from handle while ended handlers wait for their settlement', () => {
  it('acknowledges them and emits no more values', async () => {
    const { queue, handled } = await endedInTurn(hog());
    const heard = handled.values.length;
    handled.subscription.unsubscribe();
    expect(handled.statuses).toEqual(['1#1 acked', '2#1 acked']);
    expect(queue.unfinished).toBe(0);
    await turns();
    expect(handled.values.length).toBe(heard);
    expect(handled.outcomes.length).toBe(2);
  });

  it('retries failed messages', async () => {
    const { queue, handled } = await endedInTurn(hog(new Error('boom')), { retry: { delay: 60_000 } });
    handled.subscription.unsubscribe();
    expect(handled.statuses).toEqual(['1#1 retried', '2#1 retried']);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 2 });
    await turns();
    expect(handled.outcomes.length).toBe(2);
    queue.clear();
  });

  it('releases a failed message instead of publishing its dead letter', async () => {
    const sent: number[] = [];
    const { queue, handled } = await endedInTurn(hog(new Error('boom')), {
      retry: { count: 0 },
      deadLetter: async ({ attempt }) => void sent.push(attempt),
    });
    const settled = sent.length;
    handled.subscription.unsubscribe();
    expect(handled.statuses.slice(-1)).toEqual(['2#1 released']);
    await turns();
    expect(sent.length).toBe(settled);
    expect(queue.size).toBe(2 - handled.statuses.filter((status) => status.endsWith('dead-lettered')).length);
  });

  it('settles nothing twice after an abort', async () => {
    const stop = new AbortController();
    const { queue, handled } = await endedInTurn(hog(), { signal: stop.signal });
    stop.abort();
    expect(handled.completed).toBe(false);
    await turns();
    expect(handled.completed).toBe(true);
    expect(handled.statuses).toEqual(['1#1 acked', '2#1 acked']);
    expect(queue.unfinished).toBe(0);
  });
});

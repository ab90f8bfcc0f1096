import { type Observable, of, throwError } from 'rxjs';
import { type HandleOptions, MemoryBackend } from 'sluice';
import { Holder } from '../support/consumers.js';
import { Handled } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** Runs handlers that never wait until the next settlement waits for a macrotask. */
function untilSettlementsWait(): void {
  const queue = new MemoryBackend({ logger: silentLogger });
  const probe = new Handled(queue.deliveries(), () => of(1));
  do {
    void queue.publish('number', { n: 0 });
  } while (queue.inFlight === 0);
  probe.subscription.unsubscribe();
  queue.clear();
}

/** Makes a handler that has ended and whose settlement waits for a macrotask. */
function ended(handler: () => Observable<unknown>, options: HandleOptions = {}) {
  const queue = new MemoryBackend({ logger: silentLogger });
  const handled = new Handled(queue.deliveries(), handler, options);
  untilSettlementsWait();
  void queue.publish('number', { n: 1 });
  void queue.publish('number', { n: 2 });
  expect([queue.inFlight, handled.outcomes]).toEqual([2, []]);
  return { queue, handled };
}

const fails = () => throwError(() => new Error('boom'));

describe('An ended handler of handle whose settlement waits for a macrotask', () => {
  beforeEach(() => turns());

  it('is settled in that macrotask, and the next one starts', async () => {
    const { queue, handled } = ended(() => of(1));
    await turns();
    expect(handled.statuses).toEqual(['1#1 acked', '2#1 acked']);
    expect(queue.unfinished).toBe(0);
  });

  it('has its delivery acknowledged if the subscriber unsubscribes first', async () => {
    const { queue, handled } = ended(() => of(1));
    handled.subscription.unsubscribe();
    expect(handled.statuses).toEqual(['1#1 acked', '2#1 released']);
    await turns();
    expect([handled.outcomes.length, new Holder(queue).attempts]).toEqual([2, [[2, 1]]]);
  });

  it('is retried if it failed and the subscriber unsubscribes first', async () => {
    const { queue, handled } = ended(fails, { retry: { delay: 0 } });
    handled.subscription.unsubscribe();
    await turns();
    expect(handled.statuses).toEqual(['1#1 retried', '2#1 released']);
    expect(new Holder(queue).attempts).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });

  it('releases its message instead of dead-lettering it if the subscriber unsubscribes first', async () => {
    let letters = 0;
    const { queue, handled } = ended(fails, { retry: { count: 0 }, deadLetter: () => void letters++ });
    handled.subscription.unsubscribe();
    await turns();
    expect([letters, handled.statuses]).toEqual([0, ['1#1 released', '2#1 released']]);
    expect(new Holder(queue).attempts).toEqual([
      [1, 1],
      [2, 1],
    ]);
  });

  it('is settled before the stream completes after an abort of `signal`', async () => {
    const controller = new AbortController();
    const { queue, handled } = ended(() => of(1), { signal: controller.signal });
    controller.abort();
    expect(handled.completed).toBe(false);
    await turns();
    expect([handled.completed, handled.statuses]).toEqual([true, ['1#1 acked', '2#1 released']]);
    expect(new Holder(queue).attempts).toEqual([[2, 1]]);
  });

  it('does not time out although its timeout expires first', async () => {
    const { handled } = ended(() => of(1), { timeout: 1 });
    const start = performance.now();
    while (performance.now() - start < 5);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await turns();
    expect(handled.statuses).toEqual(['1#1 acked', '2#1 acked']);
  });
});

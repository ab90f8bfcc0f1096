import { MemoryBackend, type MemoryBackendOptions } from 'sluice';
import { drain, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(options?: MemoryBackendOptions) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({
    groups: ['billing', 'audit'],
    scheduler: clock.scheduler,
    logger: silentLogger,
    ...options,
  });
  const publish = (n: number, group?: string, delay?: number) => queue.publish('number', { n }, { group, delay });
  const hold = (group: string, prefetch?: number) => new Holder(queue, { group, prefetch });
  return { clock, queue, publish, hold };
}

describe('A publish for one group', () => {
  it('reaches only this group, in order with messages for all', () => {
    const { publish, hold, queue } = setUp();
    const billing = hold('billing');
    void publish(1);
    void publish(2, 'billing');
    void publish(3, 'audit');
    void publishAll(queue, [4]);
    expect([billing.numbers, hold('audit').numbers]).toEqual([
      [1, 2, 4],
      [1, 3, 4],
    ]);
  });

  it('is finished when this group has settled it', async () => {
    const { publish, hold, queue } = setUp();
    void publish(1, 'billing');
    const joined = queue.join();
    const billing = hold('billing');
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 1, 1]);
    expect(await stateOf(joined)).toBe('pending');
    void billing.of(1).ack();
    expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 0, 0]);
    await joined;
  });

  it('is counted once over all groups and only in its own', async () => {
    const { publish, queue } = setUp();
    void publish(1);
    void publish(2, 'billing');
    void publish(3, 'audit', 10);
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 3 });
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 2, unfinished: 2 });
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 1, unfinished: 2 });
  });

  it('joins the order when it becomes due', () => {
    const { publish, hold, clock } = setUp();
    const [billing, audit] = [hold('billing'), hold('audit')];
    void publish(1, 'billing', 10);
    void publish(2);
    clock.advance(9);
    expect(billing.numbers).toEqual([2]);
    clock.advance(1);
    void publish(3);
    expect([billing.numbers, audit.numbers]).toEqual([
      [2, 1, 3],
      [2, 3],
    ]);
  });

  it('returns to its place after a nack, between messages for all', () => {
    const { publish, hold, clock } = setUp();
    for (const n of upTo(6)) void publish(n, n % 2 === 0 ? 'billing' : undefined);
    const billing = hold('billing');
    for (const n of [5, 2, 4, 1]) void billing.of(n).nack();
    clock.advance();
    expect(billing.attempts.slice(6)).toEqual([
      [1, 2],
      [2, 2],
      [4, 2],
      [5, 2],
    ]);
    expect(hold('audit').numbers).toEqual([1, 3, 5]);
  });

  it('arrives with its headers and a unique id', () => {
    const { queue, hold } = setUp();
    void queue.publish('number', { n: 1 }, { group: 'billing', headers: { a: 'b' } });
    void queue.publish('number', { n: 2 }, { group: 'audit' });
    const [billing, audit] = [hold('billing'), hold('audit')];
    expect(billing.of(1).headers).toEqual({ a: 'b' });
    expect(billing.of(1).id).not.toBe(audit.of(2).id);
  });

  it('is emitted by published$ and unfinished$', () => {
    const { queue, publish, hold } = setUp();
    const entries: number[] = [];
    const counts: number[] = [];
    queue.published$.subscribe(([, payload]) => entries.push(numberOf(payload)));
    queue.unfinished$.subscribe((count) => counts.push(count));
    void publish(1, 'billing');
    void hold('billing').of(1).ack();
    expect([entries, counts]).toEqual([[1], [0, 1, 0]]);
  });

  it('needs no capacity if a consumer of its group waits', async () => {
    const { publish, hold } = setUp({ capacity: 1 });
    void publish(1, 'audit');
    const billing = hold('billing');
    expect(await stateOf(publish(2, 'billing'))).toBe('fulfilled');
    expect(billing.numbers).toEqual([2]);
  });

  it.each([
    ['deliveries()', (queue: MemoryBackend) => new Holder(queue, { group: 'billing' }).numbers],
    ['consume()', async (queue: MemoryBackend) => (await pull(queue.consume({ group: 'billing' }), 1)).map(numberOf)],
  ])('that waits for capacity goes straight to a new consumer of its group: %s', async (_, take) => {
    const { queue, publish } = setUp({ capacity: 1 });
    void publish(1, 'audit');
    const waiting = publish(2, 'billing');
    expect(await stateOf(waiting)).toBe('pending');
    expect(await take(queue)).toEqual([2]);
    expect(await stateOf(waiting)).toBe('fulfilled');
  });

  it('waits for capacity first come, first served, and can be aborted', async () => {
    const { queue, publish, hold } = setUp({ capacity: 1 });
    void publish(1, 'billing');
    const controller = new AbortController();
    const aborted = queue.publish('number', { n: 2 }, { group: 'billing', signal: controller.signal });
    const third = publish(3, 'audit');
    expect(await stateOf(third)).toBe('pending');
    controller.abort('given up');
    expect(await rejectionOf(aborted)).toBe('given up');
    expect(await stateOf(third)).toBe('pending');
    const billing = hold('billing');
    expect(await stateOf(third)).toBe('fulfilled');
    expect([billing.numbers, hold('audit').numbers]).toEqual([[1], [3]]);
  });

  it('is dropped by an overflow policy', () => {
    const { queue, publish, hold } = setUp({ capacity: 2, overflow: 'drop-oldest' });
    void publish(1, 'billing');
    void publish(2, 'audit');
    void publish(3);
    void publish(4, 'audit');
    expect([queue.dropped, queue.size]).toEqual([2, 2]);
    expect([hold('billing').numbers, hold('audit').numbers]).toEqual([[3], [3, 4]]);
  });

  it('is cleared, delayed or not', () => {
    const { queue, publish, clock, hold } = setUp();
    void publish(1, 'billing');
    void publish(2, 'audit', 10);
    void publish(3);
    expect(queue.clear().map(([, payload]) => numberOf(payload))).toEqual([1, 3, 2]);
    expect(queue.unfinished).toBe(0);
    clock.advance(10);
    expect([hold('billing').numbers, hold('audit').numbers]).toEqual([[], []]);
  });

  it('keeps only the streams of its group open while it is delayed in a closed queue', async () => {
    const { queue, publish, clock, hold } = setUp();
    void publish(1, 'billing', 10);
    const [billing, audit] = [hold('billing'), drain(queue.consume({ group: 'audit' }))];
    await queue.close();
    expect(await audit).toEqual([]);
    expect(billing.completed).toBe(false);
    clock.advance(10);
    void billing.of(1).ack();
    expect(billing.completed).toBe(true);
  });
});

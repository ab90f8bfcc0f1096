import { MemoryBackend, type MemoryBackendOptions, type PublishOptions } from 'sluice';
import { RecentIds } from '../../src/memory/recent-ids.js';
import { Holder, publishAll, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(options?: MemoryBackendOptions) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger, dedupeWindow: 100, ...options });
  const publish = (n: number, id: string, more?: PublishOptions) => queue.publish('number', { n }, { id, ...more });
  const waiting = async (group?: string) =>
    (await queue.peek({ group, limit: 100 })).map(({ payload }) => (payload as { n: number }).n);
  return { clock, queue, publish, waiting };
}

describe('A message with an id', () => {
  it('has this id on every delivery in every group, delayed or not', () => {
    const { queue, publish, clock } = setUp({ groups: ['billing', 'audit'] });
    void publish(1, 'one');
    void publish(2, 'two', { delay: 10 });
    clock.advance(10);
    const first = new Holder(queue, { group: 'billing' });
    first.subscription.unsubscribe();
    for (const group of ['billing', 'audit']) {
      expect(new Holder(queue, { group }).deliveries.map(({ id }) => id)).toEqual(['one', 'two']);
    }
  });

  it('is stored once within the window', async () => {
    const { publish, waiting, clock } = setUp();
    await publish(1, 'a');
    await publish(2, 'b', { delay: 10 });
    clock.advance(99);
    await Promise.all([publish(3, 'a'), publish(4, 'b'), publish(5, 'c')]);
    expect(await waiting()).toEqual([1, 2, 5]);
    clock.advance(1);
    await Promise.all([publish(6, 'a'), publish(7, 'b'), publish(8, 'c')]);
    expect(await waiting()).toEqual([1, 2, 5, 6, 7]);
    // The window begins with the stored message, not with its duplicates.
    clock.advance(99);
    await Promise.all([publish(9, 'c'), publish(10, 'a')]);
    expect(await waiting()).toEqual([1, 2, 5, 6, 7, 9]);
  });

  it('is a duplicate, whatever happened to the first one', async () => {
    const { queue, publish, waiting } = setUp();
    void publish(1, 'acked');
    void publish(2, 'rejected');
    const holder = new Holder(queue);
    void holder.of(1).ack();
    void holder.of(2).reject();
    holder.subscription.unsubscribe();
    void publish(3, 'purged');
    await queue.purge();
    for (const [index, id] of ['acked', 'rejected', 'purged'].entries()) await publish(index + 4, id);
    expect(await waiting()).toEqual([]);
  });

  it('is emitted once by published$', () => {
    const { queue, publish } = setUp();
    const seen: unknown[] = [];
    queue.published$.subscribe(([, payload]) => seen.push(payload));
    void publish(1, 'a');
    void publish(2, 'a');
    expect(seen).toEqual([{ n: 1 }]);
  });

  it('is deduplicated over all groups', async () => {
    const { publish, waiting } = setUp({ groups: ['billing', 'audit'] });
    await publish(1, 'a', { group: 'billing' });
    await publish(2, 'a', { group: 'audit' });
    await publish(3, 'a');
    expect([await waiting('billing'), await waiting('audit')]).toEqual([[1], []]);
  });
});

describe('A publish that was not stored', () => {
  it('does not deduplicate if it was refused or aborted', async () => {
    const { queue, publish, waiting } = setUp({ capacity: 1 });
    await rejectionOf(queue.publish('number', [] as object, { id: 'a' }));
    await rejectionOf(publish(1, 'a', { delay: -1 }));
    await rejectionOf(publish(2, 'a', { signal: AbortSignal.abort() }));
    void publishAll(queue, [3]);
    const controller = new AbortController();
    const aborted = rejectionOf(publish(4, 'a', { signal: controller.signal }));
    controller.abort('given up');
    expect(await aborted).toBe('given up');
    await queue.purge();
    await publish(5, 'a');
    expect(await waiting()).toEqual([5]);
  });

  it.each(['error', 'drop-newest'] as const)('does not deduplicate if the policy %p refused it', async (overflow) => {
    const { queue, publish, waiting } = setUp({ capacity: 1, overflow });
    void publishAll(queue, [1]);
    await publish(2, 'a').catch(() => {});
    await queue.purge();
    await publish(3, 'a');
    expect(await waiting()).toEqual([3]);
  });

  it('deduplicates if a later message replaced it', async () => {
    const { publish, waiting } = setUp({ capacity: 1, overflow: 'drop-oldest' });
    await publish(1, 'a');
    await publish(2, 'b');
    await publish(3, 'a');
    expect(await waiting()).toEqual([2]);
  });

  it('needs no capacity if it is a duplicate', async () => {
    const { queue, publish } = setUp({ capacity: 1 });
    await publish(1, 'a');
    await publish(2, 'a');
    const other = new MemoryBackend({ capacity: 1, overflow: 'error' });
    await other.publish('number', { n: 1 }, { id: 'a' });
    await other.publish('number', { n: 2 }, { id: 'a' });
    expect([queue.size, other.size]).toEqual([1, 1]);
  });
});

describe('Waiting publishes with the same id', () => {
  it('store one message and all resolve', async () => {
    const { queue, publish, waiting } = setUp({ capacity: 1 });
    void publishAll(queue, [1]);
    const published = [publish(2, 'a'), publish(3, 'a'), publish(4, 'b'), publish(5, 'a')];
    expect(await stateOf(published[0] as Promise<void>)).toBe('pending');
    await queue.purge();
    expect(await Promise.all(published.map(stateOf))).toEqual(['fulfilled', 'fulfilled', 'pending', 'pending']);
    await queue.purge();
    await Promise.all(published);
    expect(await waiting()).toEqual([4]);
  });

  it('store the second message if the first is aborted', async () => {
    const { queue, publish, waiting } = setUp({ capacity: 1 });
    void publishAll(queue, [1]);
    const controller = new AbortController();
    const aborted = rejectionOf(publish(2, 'a', { signal: controller.signal }));
    const second = publish(3, 'a');
    controller.abort('given up');
    await aborted;
    await queue.purge();
    await second;
    expect(await waiting()).toEqual([3]);
  });

  it.each(['deliveries', 'consume'] as const)('do not block later messages for %s()', async (face) => {
    const { queue, publish } = setUp({ capacity: 1 });
    void publish(1, 'a');
    void publish(2, 'b');
    void publish(3, 'b');
    void publish(4, 'c');
    const got: unknown[] = [];
    if (face === 'deliveries') {
      queue.deliveries().subscribe((delivery) => {
        got.push(delivery.payload);
        void delivery.ack();
      });
    } else {
      const payloads = queue.consume();
      for (let call = 0; call < 3; call++) got.push((await payloads.next()).value);
    }
    expect(got).toEqual([{ n: 1 }, { n: 2 }, { n: 4 }]);
  });
});

describe('RecentIds', () => {
  it('stores at most the ids of one window, without a timer', () => {
    const { scheduler } = new VirtualClock();
    const ids = new RecentIds(100, scheduler);
    for (const time of upTo(1000)) {
      scheduler.frame = time;
      ids.add(`id-${time}`);
      expect(ids.size).toBeLessThanOrEqual(100);
    }
    expect([ids.has('id-900'), ids.has('id-901'), ids.has(undefined)]).toEqual([false, true, false]);
    expect(scheduler.actions).toEqual([]);
  });

  it('forgets correctly after an expired id is added again', () => {
    const { scheduler } = new VirtualClock();
    const ids = new RecentIds(100, scheduler);
    ids.add('a');
    ids.add('b');
    scheduler.frame = 100;
    ids.add('a');
    scheduler.frame = 199;
    ids.add('c');
    expect([ids.has('a'), ids.has('b'), ids.size]).toEqual([true, false, 2]);
    scheduler.frame = 200;
    ids.add('d');
    expect([ids.has('a'), ids.has('c'), ids.size]).toEqual([false, true, 2]);
  });
});

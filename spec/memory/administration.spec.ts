import {
  ConfigurationError,
  type ManagedQueue,
  MemoryBackend,
  type MemoryBackendOptions,
  type QueueStatus,
} from 'sluice';
import { Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

const GROUPS = ['billing', 'audit'];

function setUp(options?: MemoryBackendOptions) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger, ...options });
  return { clock, queue };
}

async function peekNumbers(queue: ManagedQueue, group?: string): Promise<number[]> {
  return (await queue.peek({ group, limit: 1000 })).map(({ payload }) => numberOf(payload));
}

describe('groups()', () => {
  it('lists `default` if groups are ignored', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(3));
    void queue.publish('number', { n: 4 }, { delay: 10 });
    new Holder(queue, { prefetch: 1 });
    expect(await queue.groups()).toEqual([{ name: 'default', declared: true, ready: 2, unfinished: 4, consumers: 1 }]);
  });

  it('lists the declared groups with their own counts', async () => {
    const { queue } = setUp({ groups: GROUPS });
    void publishAll(queue, [1]);
    void queue.publish('number', { n: 2 }, { group: 'audit' });
    const holder = new Holder(queue, { group: 'billing' });
    expect(await queue.groups()).toEqual([
      { name: 'billing', declared: true, ready: 0, unfinished: 1, consumers: 1 },
      { name: 'audit', declared: true, ready: 2, unfinished: 2, consumers: 0 },
    ]);
    holder.subscription.unsubscribe();
    expect(await queue.groups()).toMatchObject([{ ready: 1, consumers: 0 }, {}]);
  });
});

describe('deleteGroup()', () => {
  it.each([
    ['default', undefined],
    ['billing', GROUPS],
  ] as const)("refuses to delete the queue's own group %s", async (name, groups) => {
    const { queue } = setUp({ groups });
    void publishAll(queue, [1]);
    const error = await rejectionOf(queue.deleteGroup(name));
    expect(ConfigurationError.is(error)).toBe(true);
    expect(String(error)).toContain(name);
    expect(queue.size).toBe(1);
  });

  it('resolves to false for any other group', async () => {
    expect(await setUp().queue.deleteGroup('billing')).toBe(false);
    expect(await setUp({ groups: GROUPS }).queue.deleteGroup('default')).toBe(false);
  });

  it.each([[''], [5], [undefined]])('throws for the name %p', async (name) => {
    const error = await rejectionOf(setUp().queue.deleteGroup(name as string));
    expect(String(error)).toMatch(/^(Type|Range)Error: Expected `name`/);
  });
});

describe('peek()', () => {
  it('shows each message as its next delivery will', async () => {
    const { queue, clock } = setUp();
    void publishAll(queue, upTo(2));
    clock.advance(5);
    void queue.publish('other', { n: 3 }, { headers: { trace: 't' } });
    void queue.publish('other', { n: 4 }, { id: 'own' });
    const views = await queue.peek();
    expect(views.map((view) => 'due' in view)).toEqual([false, false, false, false]);
    const { deliveries } = new Holder(queue);
    const fields = ({ id, key, payload, headers, attempt, publishedAt }: (typeof views)[number]) => ({
      id,
      key,
      payload,
      headers,
      attempt,
      publishedAt,
    });
    expect(views.map(fields)).toEqual(deliveries.map(fields));
    expect(views.map(({ publishedAt }) => publishedAt - (views[0]?.publishedAt ?? 0))).toEqual([0, 0, 5, 5]);
  });

  it('takes no message and does not change the queue', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(3));
    expect([await peekNumbers(queue), await peekNumbers(queue)]).toEqual([upTo(3), upTo(3)]);
    expect([queue.size, queue.inFlight]).toEqual([3, 0]);
    expect(new Holder(queue).deliveries.map(({ attempt }) => attempt)).toEqual([1, 1, 1]);
  });

  it('shows requeued messages in order and omits those in flight', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(4));
    const controller = new AbortController();
    const holder = new Holder(queue, { prefetch: 3, signal: controller.signal });
    controller.abort();
    void holder.of(2).nack();
    void holder.of(1).release();
    const views = await queue.peek();
    expect(views.map(({ payload, attempt }) => [numberOf(payload), attempt])).toEqual([
      [1, 1],
      [2, 2],
      [4, 1],
    ]);
    expect(views[1]?.id).toBe(holder.of(2).id);
  });

  it('shows delayed messages last, in due order', async () => {
    const { queue, clock } = setUp();
    void queue.publish('number', { n: 1 });
    const holder = new Holder(queue, { prefetch: 1 });
    void holder.of(1).nack({ delay: 20 });
    holder.subscription.unsubscribe();
    void queue.publish('number', { n: 2 }, { delay: 30 });
    void queue.publish('number', { n: 3 }, { delay: 10 });
    void queue.publish('number', { n: 4 });
    const views = await queue.peek();
    expect(views.map(({ payload, due }) => [numberOf(payload), due])).toEqual([
      [4, undefined],
      [3, 10],
      [1, 20],
      [2, 30],
    ]);
    clock.advance(30);
    const later = await queue.peek();
    expect(later.map(({ payload }) => numberOf(payload))).toEqual([1, 4, 3, 2]);
    expect(later.some((view) => 'due' in view)).toBe(false);
    // A message keeps the id with which it was shown.
    const ids = (shown: typeof views) => new Map(shown.map(({ payload, id }) => [numberOf(payload), id]));
    expect(new Map([...ids(later)].sort())).toEqual(new Map([...ids(views)].sort()));
    const { deliveries } = new Holder(queue);
    expect(new Map(deliveries.map(({ payload, id }) => [numberOf(payload), id]))).toEqual(ids(later));
  });

  it('shows `limit` messages, 20 by default', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(25));
    void queue.publish('number', { n: 26 }, { delay: 1 });
    expect((await queue.peek()).length).toBe(20);
    expect((await queue.peek({ limit: 1 })).length).toBe(1);
    expect(await peekNumbers(queue)).toEqual(upTo(26));
  });

  it('shows the messages of one group', async () => {
    const { queue } = setUp({ groups: GROUPS });
    void publishAll(queue, [1]);
    void queue.publish('number', { n: 2 }, { group: 'audit' });
    void queue.publish('number', { n: 3 }, { group: 'billing', delay: 1 });
    void queue.publish('number', { n: 4 }, { delay: 2 });
    expect([await peekNumbers(queue, 'billing'), await peekNumbers(queue, 'audit')]).toEqual([
      [1, 3, 4],
      [1, 2, 4],
    ]);
    for (const options of [undefined, { group: 'late' }]) {
      expect(ConfigurationError.is(await rejectionOf(queue.peek(options)))).toBe(true);
    }
  });

  it.each([
    ['shape', true],
    ['json', false],
  ] as const)('shows the payload with validate %p, as the same object: %p', async (validate, same) => {
    const { queue } = setUp({ validate });
    const payload = { n: 1 };
    void queue.publish('number', payload);
    const [first, second] = [(await queue.peek())[0]?.payload, (await queue.peek())[0]?.payload];
    expect([first, first === second]).toEqual([payload, same]);
    Object.assign(first as object, { n: 2 });
    expect(await pull(queue.consume(), 1)).toEqual([{ n: same ? 2 : 1 }]);
  });

  it.each([[{ limit: 0 }], [{ limit: 1.5 }], [{ limit: '5' }], [{ limit: null }], [{ group: '' }], [null]])(
    'throws for %p',
    async (options) => {
      const error = await rejectionOf(setUp().queue.peek(options as object));
      expect(String(error)).toMatch(/^(Type|Range)Error: Expected `(limit|group|options)`/);
    },
  );
});

describe('purge()', () => {
  it('removes waiting and delayed messages but not those in flight', async () => {
    const { queue, clock } = setUp();
    void publishAll(queue, upTo(5));
    void queue.publish('number', { n: 6 }, { delay: 10 });
    const holder = new Holder(queue, { prefetch: 2 });
    void holder.of(1).nack({ delay: 10 });
    expect([queue.size, queue.inFlight]).toEqual([4, 2]);
    expect(await queue.purge()).toBe(4);
    expect([queue.size, queue.inFlight, clock.timers]).toEqual([0, 2, 0]);
    expect(await queue.purge()).toBe(0);
    void holder.of(2).ack();
    void holder.of(3).ack();
    await queue.join();
  });

  it('counts purged messages as settled', async () => {
    const { queue } = setUp();
    const counts: number[] = [];
    queue.unfinished$.subscribe((count) => counts.push(count));
    void publishAll(queue, upTo(2));
    const joined = queue.join();
    expect(await queue.purge()).toBe(2);
    expect(counts).toEqual([0, 1, 2, 0]);
    await joined;
  });

  it('removes a message from all groups and counts it once', async () => {
    const { queue } = setUp({ groups: GROUPS });
    void publishAll(queue, [1, 2]);
    void queue.publish('number', { n: 3 }, { delay: 10 });
    const holder = new Holder(queue, { group: 'billing', prefetch: 1 });
    expect(await queue.purge()).toBe(3);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 1 });
    void holder.of(1).ack();
    expect([holder.numbers, queue.unfinished]).toEqual([[1], 0]);
  });

  it('keeps the messages of other groups', async () => {
    const { queue, clock } = setUp({ groups: GROUPS });
    void publishAll(queue, [1]);
    void queue.publish('number', { n: 2 }, { delay: 10 });
    void queue.publish('number', { n: 3 }, { delay: 20, group: 'billing' });
    void queue.publish('number', { n: 4 }, { delay: 30, group: 'audit' });
    const holder = new Holder(queue, { group: 'audit' });
    void holder.of(1).nack({ delay: 40 });
    expect(await queue.purge({ group: 'billing' })).toBe(3);
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 0, unfinished: 3 });
    expect(queue.size).toBe(3);
    clock.advance(50);
    expect([holder.numbers, new Holder(queue, { group: 'billing' }).numbers]).toEqual([[1, 2, 4, 1], []]);
    expect(ConfigurationError.is(await rejectionOf(queue.purge({ group: 'late' })))).toBe(true);
  });

  it('frees capacity for a waiting publish', async () => {
    const { queue } = setUp({ capacity: 2 });
    const published = publishAll(queue, upTo(4));
    expect(await stateOf(published[3] as Promise<void>)).toBe('pending');
    expect(await queue.purge()).toBe(2);
    await Promise.all(published);
    expect(await peekNumbers(queue)).toEqual([3, 4]);
  });

  it.each([[{ group: '' }], [{ group: 5 }], [null]])('throws for %p', async (options) => {
    const error = await rejectionOf(setUp().queue.purge(options as object));
    expect(String(error)).toMatch(/^(Type|Range)Error: Expected `(group|options)`/);
  });
});

describe('status$', () => {
  const watch = (queue: MemoryBackend): (QueueStatus | 'complete')[] => {
    const seen: (QueueStatus | 'complete')[] = [];
    queue.status$.subscribe({ next: (status) => seen.push(status), complete: () => seen.push('complete') });
    return seen;
  };

  it.each<[string, (queue: MemoryBackend) => unknown]>([
    ['publish', (queue) => queue.publish('number', { n: 1 })],
    ['publish with options', (queue) => queue.publish('number', { n: 1 }, { delay: 1 })],
    ['tryPublish', (queue) => queue.tryPublish('number', { n: 1 })],
    ['a subscriber of deliveries', (queue) => new Holder(queue)],
    ['the first next() of consume', (queue) => queue.consume().next()],
    ['stats', (queue) => queue.stats()],
    ['groups', (queue) => queue.groups()],
    ['peek', (queue) => queue.peek()],
    ['purge', (queue) => queue.purge()],
  ])("changes from 'idle' to 'connected' once: %s", (_, use) => {
    const { queue } = setUp();
    const seen = watch(queue);
    void queue.deliveries();
    void queue.consume();
    queue.published$.subscribe();
    expect(seen).toEqual(['idle']);
    for (let call = 0; call < 2; call++) void use(queue);
    expect(seen).toEqual(['idle', 'connected']);
    expect(watch(queue)).toEqual(['connected']);
  });

  it("stays 'idle' after a refused publish", async () => {
    const { queue } = setUp();
    const seen = watch(queue);
    await rejectionOf(queue.publish('number', [] as object));
    await rejectionOf(queue.publish('number', { n: 1 }, { signal: AbortSignal.abort() }));
    expect(seen).toEqual(['idle']);
  });

  it("completes after 'closed', also for a late subscriber", async () => {
    const { queue } = setUp();
    const seen = watch(queue);
    await queue.close();
    await queue.close({ drain: false });
    void queue.stats();
    expect(seen).toEqual(['idle', 'closed', 'complete']);
    expect(watch(queue)).toEqual(['closed', 'complete']);
  });

  it('emits after a running emission, never inside it', async () => {
    const { queue } = setUp();
    const seen: string[] = [];
    queue.status$.subscribe((status) => seen.push(status));
    queue.published$.subscribe(() => {
      void queue.close();
      seen.push('closing');
    });
    void publishAll(queue, [1]);
    expect(seen).toEqual(['idle', 'connected', 'closing', 'closed']);
  });
});

describe('Administration after close()', () => {
  it('still works', async () => {
    const { queue } = setUp();
    void publishAll(queue, upTo(3));
    await queue.close();
    expect(await queue.groups()).toEqual([{ name: 'default', declared: true, ready: 3, unfinished: 3, consumers: 0 }]);
    expect(await queue.deleteGroup('late')).toBe(false);
    expect(await peekNumbers(queue)).toEqual(upTo(3));
    expect(await queue.purge()).toBe(3);
    expect(queue.unfinished).toBe(0);
  });
});

describe('Administration with ignored groups', () => {
  it('accepts any group and warns once', async () => {
    const logger = recordingLogger();
    const { queue } = setUp({ logger });
    void publishAll(queue, [1]);
    expect(await peekNumbers(queue, 'billing')).toEqual([1]);
    expect(await queue.purge({ group: 'audit' })).toBe(1);
    expect(logger.warnings.length).toBe(1);
  });
});

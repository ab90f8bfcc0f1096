import * as sluice from 'sluice';
import { type Delivery, handle, MemoryBackend, type MemoryBackendOptions } from 'sluice';
import { createObserver, type Observer } from '../picture/observe';
import type { Dot, GroupView, QueueView, Snapshot } from '../picture/snapshot';
import { observedPrograms } from './observed-programs';
import { runProgram } from './virtual-program';

describe('an observed queue', () => {
  it.each(Object.entries(observedPrograms))('does the same as one that is not: %s', async (_name, code) => {
    const [plain, observed] = [await runProgram(code, false), await runProgram(code, true)];
    expect(plain.lines.length).toBeGreaterThan(2);
    expect(observed.lines).toEqual(plain.lines);
    expect(observed.timers).toBe(plain.timers);
  });

  it('returns the promises of the queue', () => {
    const queue = new MemoryBackend();
    const promise = Promise.resolve();
    queue.publish = () => promise;
    expect(
      createObserver(sluice, () => 0)
        .observe(queue)
        .publish('order', {}),
    ).toBe(promise);
  });

  it('is the same object each time', () => {
    const observer = createObserver(sluice, () => 0);
    const queue = new MemoryBackend();
    const observed = observer.observe(queue);
    expect(observer.observe(queue)).toBe(observed);
    expect(observer.observe(observed)).toBe(observed);
    expect(observed.join).toBe(observed.join);
  });
});

/** An observer with one queue. */
class Observed {
  readonly observer: Observer = createObserver(sluice, () => Date.now());
  readonly queue: MemoryBackend;
  changes = 0;

  constructor(options: MemoryBackendOptions = {}) {
    this.queue = this.create({ name: 'orders', ...options });
    this.observer.onChange = () => {
      this.changes++;
    };
  }

  create(options: MemoryBackendOptions): MemoryBackend {
    return this.observer.observe(new MemoryBackend(options), options);
  }

  async publish(count: number): Promise<void> {
    for (let id = 1; id <= count; id++) await this.queue.publish('order', { id });
  }

  async view(): Promise<QueueView> {
    const [view] = (await this.observer.snapshot()).queues;
    return view as QueueView;
  }

  async group(): Promise<GroupView> {
    const [group] = (await this.view()).groups;
    return group as GroupView;
  }
}

const texts = (dots: readonly Dot[]): string => dots.map(({ text }) => text).join(' ');

describe('the snapshot', () => {
  it('shows waiting and delayed messages, and those in flight', async () => {
    const orders = new Observed();
    await orders.publish(3);
    await orders.queue.publish('order', { id: 4 }, { delay: 60_000 });
    const subscription = orders.queue.deliveries({ prefetch: 2 }).subscribe();
    expect(await orders.view()).toMatchObject({ size: 2, inFlight: 2, unfinished: 4, ready: 1, published: 4 });
    const group = await orders.group();
    expect(group).toMatchObject({ name: 'default', ready: 1, delayedCount: 1, hasDelays: true });
    expect([texts(group.waiting), texts(group.delayed)]).toEqual(['3', '4']);
    expect(group.delayed[0]?.due).toBeGreaterThan(Date.now());
    const [consumer] = group.consumers;
    expect(consumer).toMatchObject({ label: 'consumer 1', prefetch: 2, inFlight: 2, active: true });
    expect(texts(consumer?.deliveries ?? [])).toBe('1 2');
    subscription.unsubscribe();
    orders.queue.clear();
  });

  it('counts each settlement, however it was made', async () => {
    const orders = new Observed();
    await orders.publish(6);
    const deliveries: Delivery[] = [];
    const subscription = orders.queue.deliveries({ prefetch: 4 }).subscribe((delivery) => deliveries.push(delivery));
    const [first, second, third, fourth] = deliveries;
    await Promise.all([first?.ack(), second?.reject('bad'), third?.nack({ delay: 60_000 }), fourth?.release()]);
    // The queue requeues what the consumer has in flight: 5 and 6.
    subscription.unsubscribe();
    expect(await orders.group()).toMatchObject({ acked: 1, rejected: 1, retried: 3, released: 1, deadLettered: 0 });
    expect((await orders.group()).finished.map(({ how }) => how)).toEqual(['acked', 'rejected']);
    expect((await orders.group()).consumers).toMatchObject([{ active: false, inFlight: 0 }]);
    orders.queue.clear();
  });

  it('reports changes within the calls that make them', async () => {
    const orders = new Observed();
    const changed = (call: () => unknown): boolean => {
      const before = orders.changes;
      void call();
      return orders.changes > before;
    };
    let delivery: Delivery | undefined;
    expect(changed(() => orders.queue.publish('order', { id: 1 }))).toBe(true);
    const subscribe = () => orders.queue.deliveries().subscribe((one) => (delivery = one));
    expect(changed(subscribe)).toBe(true);
    expect(changed(() => delivery?.nack({ delay: 60_000 }))).toBe(true);
    expect(changed(() => orders.queue.clear())).toBe(true);
    expect(changed(() => orders.queue.publish('order', { id: 2 }))).toBe(true);
    expect(changed(() => delivery?.ack())).toBe(true);
    expect(changed(() => orders.queue.close())).toBe(true);
    expect(await orders.view()).toMatchObject({ closed: true, unfinished: 0 });
  });

  it('has a slot for a loop, 32 for a subscription, and the given prefetch otherwise', async () => {
    const orders = new Observed();
    const loop = orders.queue.deliveries()[Symbol.asyncIterator]();
    const waiting = loop.next();
    const payloads = orders.queue.consume();
    const next = payloads.next();
    const subscriptions = [orders.queue.deliveries().subscribe(), orders.queue.deliveries({ prefetch: 5 }).subscribe()];
    expect((await orders.group()).consumers.map(({ prefetch }) => prefetch)).toEqual([1, 1, 32, 5]);
    await Promise.all([loop.return?.(), payloads.return?.()]);
    await Promise.all([waiting, next]);
    for (const subscription of subscriptions) subscription.unsubscribe();
    expect((await orders.group()).consumers.every(({ active }) => !active)).toBe(true);
  });

  it('knows for which deliveries a handler runs', async () => {
    const orders = new Observed();
    await orders.publish(4);
    let finish = (): void => {};
    const running = new Promise<void>((resolve) => {
      finish = resolve;
    });
    const subscription = orders.queue
      .deliveries({ prefetch: 3 })
      .pipe(handle(() => running, { concurrency: 2 }))
      .subscribe();
    const handling = async () => (await orders.group()).consumers[0]?.deliveries.map((dot) => dot.handling);
    expect(await handling()).toEqual([true, true, false]);
    finish();
    await orders.queue.join();
    expect(await handling()).toEqual([]);
    expect(await orders.group()).toMatchObject({ acked: 4, ready: 0 });
    subscription.unsubscribe();
  });

  it('shows publishes that wait for room, until they are taken or given up', async () => {
    const orders = new Observed({ capacity: 2 });
    await orders.publish(2);
    const controller = new AbortController();
    const third = orders.queue.publish('order', { id: 3 });
    const fourth = orders.queue.publish('order', { id: 4 }, { signal: controller.signal }).catch(() => 'given up');
    const fifth = orders.queue.publish('order', { id: 5 }).catch(() => 'refused');
    const publishing = async () => texts((await orders.view()).publishing);
    expect(await orders.view()).toMatchObject({ capacity: 2, publishingCount: 3, published: 2 });
    expect(await publishing()).toBe('3 4 5');
    controller.abort();
    expect(await fourth).toBe('given up');
    expect(await publishing()).toBe('3 5');
    const [dot] = (await orders.view()).publishing;
    orders.queue.deliveries({ prefetch: 1 }).subscribe().unsubscribe();
    await third;
    expect(await publishing()).toBe('5');
    expect((await orders.group()).waiting.map(({ origin }) => origin)).toContain(dot?.id);
    await orders.queue.close({ drain: false });
    expect(await fifth).toBe('refused');
    expect(await publishing()).toBe('');
  });

  it('follows a message through its deliveries, and counts a retry in place', async () => {
    const orders = new Observed();
    await orders.publish(1);
    const [waiting] = (await orders.group()).waiting;
    let attempts = 0;
    const shown: (Dot | undefined)[] = [];
    await orders.queue.close();
    await orders.queue
      .deliveries()
      .pipe(
        handle(
          async () => {
            shown.push((await orders.group()).consumers[0]?.deliveries[0]);
            if (++attempts < 3) throw new Error('again');
          },
          { orderBy: 'key', retry: { delay: 1 }, logger: { debug() {}, warn() {}, error() {} } },
        ),
      )
      .forEach(() => {});
    expect(shown.map((dot) => [dot?.id, dot?.attempt, dot?.handling])).toEqual(
      [1, 2, 3].map((attempt) => [waiting?.id, attempt, true]),
    );
    expect(await orders.group()).toMatchObject({ acked: 1, retried: 2 });
  });

  it('relates a dead letter to the delivery that it was', async () => {
    const orders = new Observed();
    const failed = orders.create({ name: 'failed' });
    await orders.publish(2);
    const [first] = (await orders.group()).waiting;
    const logger = { debug() {}, warn() {}, error() {} };
    const fails = () => {
      throw new Error('fails');
    };
    await orders.queue
      .deliveries({ prefetch: 1 })
      .pipe(handle(fails, { retry: { count: 0 }, deadLetter: failed, logger }))
      .subscribe();
    await orders.queue.join();
    const { queues } = await orders.observer.snapshot();
    const [letters] = queues[1]?.groups ?? [];
    expect(letters?.waiting[0]).toMatchObject({ origin: first?.id, deadLetter: true, text: '1' });
    expect(await orders.group()).toMatchObject({ acked: 0, deadLettered: 2, rejected: 0 });
    expect((await orders.group()).finished.map(({ how }) => how)).toEqual(['dead-lettered', 'dead-lettered']);
  });

  it('counts a dead letter that a function takes', async () => {
    const orders = new Observed();
    await orders.publish(1);
    await orders.queue.close();
    const logger = { debug() {}, warn() {}, error() {} };
    const fails = () => {
      throw new Error('fails');
    };
    await orders.queue
      .deliveries()
      .pipe(handle(fails, { retry: { count: 0 }, deadLetter: () => {}, logger }))
      .forEach(() => {});
    expect(await orders.group()).toMatchObject({ acked: 0, deadLettered: 1 });
  });

  it('has one group where groups are ignored, and each declared one otherwise', async () => {
    const ignored = new Observed({ logger: { debug() {}, warn() {}, error() {} } });
    const subscription = ignored.queue.deliveries({ group: 'billing' }).subscribe();
    expect((await ignored.view()).groups.map(({ name, consumers }) => [name, consumers.length])).toEqual([
      ['default', 1],
    ]);
    subscription.unsubscribe();
    const declared = new Observed({ groups: ['billing', 'audit'] });
    expect((await declared.view()).groups.map(({ name }) => name)).toEqual(['billing', 'audit']);
    await declared.publish(1);
    const { groups, ready, size } = await declared.view();
    expect([ready, size, groups.map((group) => group.ready)]).toEqual([1, 1, [1, 1]]);
    const ids = groups.flatMap(({ waiting }) => waiting.map(({ id }) => id));
    expect(new Set(ids).size).toBe(2);
  });

  it('finds out the groups of a queue whose options it does not know', async () => {
    const observer = createObserver(sluice, () => 0);
    const queue = observer.observe(new MemoryBackend({ groups: ['billing', 'audit'] }));
    await queue.publish('order', { id: 1 });
    const { queues } = await observer.snapshot();
    expect(queues[0]?.groups.map(({ name, ready }) => [name, ready])).toEqual([
      ['billing', 1],
      ['audit', 1],
    ]);
  });

  it('gives each dot its own id, also in queues of one name', async () => {
    const orders = new Observed();
    const other = orders.create({ name: 'orders' });
    await orders.queue.publish('order', { id: 1 }, { id: 'same' });
    await other.publish('order', { id: 1 }, { id: 'same' });
    const { queues } = await orders.observer.snapshot();
    const ids = queues.flatMap(({ groups }) => groups.flatMap(({ waiting }) => waiting.map(({ id }) => id)));
    expect(new Set(ids).size).toBe(2);
  });

  it('is of one moment', async () => {
    const orders = new Observed();
    await orders.publish(2);
    await orders.observer.snapshot();
    const pending = orders.observer.snapshot();
    // What happens after the call, but before the promise is settled, is in the next one at most.
    void orders.queue.publish('order', { id: 3 });
    const [view] = (await pending).queues as [QueueView];
    expect(view.groups[0]?.ready).toBe(view.size);
    expect(view.groups[0]?.waiting).toHaveLength(view.size);
  });

  it('stays small with 100,000 messages and 1,000 consumers', async () => {
    const orders = new Observed();
    const deliveries: Delivery[] = [];
    for (let id = 1; id <= 100_000; id++) void orders.queue.publish('order', { id });
    for (let count = 0; count < 1000; count++) orders.queue.deliveries().subscribe().unsubscribe();
    const subscription = orders.queue.deliveries({ prefetch: 50 }).subscribe((delivery) => deliveries.push(delivery));
    const before = await orders.view();
    expect(before).toMatchObject({ published: 100_000, inFlight: 50, ready: 99_950 });
    expect(before.groups[0]?.consumers.at(-1)).toMatchObject({ inFlight: 50, active: true });
    for (let next = deliveries.shift(); next !== undefined; next = deliveries.shift()) void next.ack();
    const after: Snapshot = await orders.observer.snapshot();
    expect(after.queues[0]?.groups[0]).toMatchObject({ acked: 100_000, ready: 0 });
    for (const snapshot of [{ now: 0, queues: [before] }, after]) {
      const size = JSON.stringify(snapshot).length;
      expect(size).toBeLessThan(12_000);
      expect(snapshot.queues[0]?.groups[0]?.consumers.length).toBeLessThanOrEqual(6);
    }
    subscription.unsubscribe();
  });
});

import { filter } from 'rxjs';
import { type AnyDelivery, type Delivery, type HandleOptions, MemoryBackend } from 'sluice';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { Handled, Jobs, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** With one retry, a delivery is a suspect from its third attempt on. */
const LIMITED: HandleOptions = { retry: { count: 1, delay: 0 }, deliveryLimit: 10 };

/** A queue of messages with the number of consumers that crashed on each. */
function queueAfter(crashes: Readonly<Record<number, number>>) {
  const clock = new VirtualClock();
  const queue = new MemoryBackend({ name: 'work', scheduler: clock.scheduler, logger: silentLogger });
  void publishAll(queue, Object.keys(crashes).map(Number));
  for (let crash = 1; crash <= Math.max(...Object.values(crashes)); crash++)
    crashOver(queue, (n) => (crashes[n] ?? 0) >= crash);
  return { clock, queue };
}

/** Simulates a consumer that has all messages in flight and crashes on some of them. */
function crashOver(queue: MemoryBackend, which: (n: number) => boolean): void {
  const { deliveries, subscription } = new Holder(queue, { prefetch: 1000 });
  for (const delivery of deliveries) if (!which(numberOf(delivery.payload))) void delivery.release();
  subscription.unsubscribe();
}

type Source = (queue: MemoryBackend) => ReturnType<MemoryBackend['deliveries']>;

/** Handles the messages of such a queue and records how many are in flight at each start. */
async function handling(
  crashes: Readonly<Record<number, number>>,
  options: HandleOptions = {},
  source: Source = (queue) => queue.deliveries({ prefetch: 100 }),
) {
  const { clock, queue } = queueAfter(crashes);
  const jobs = new Jobs();
  const held: string[] = [];
  const handler: Jobs['handler'] = (delivery, context) => {
    held.push(`${numberOf(delivery.payload)}: ${queue.inFlight}`);
    return jobs.handler(delivery, context);
  };
  const handled = new Handled(source(queue), handler, { ...LIMITED, scheduler: clock.scheduler, ...options });
  const pass = async (milliseconds = 0) => {
    clock.advance(milliseconds);
    await turns();
  };
  const finish = async (n: number) => {
    await jobs.finish(n);
    await pass();
  };
  await pass();
  return { clock, queue, jobs, held, handled, pass, finish };
}

describe('A delivery past `retry.count` + 1 with a `deliveryLimit`', () => {
  it('runs alone once the others in flight are finished', async () => {
    const { queue, jobs, held, handled, pass, finish } = await handling({ 1: 0, 2: 0, 3: 2, 4: 0 }, { concurrency: 2 });
    expect(jobs.running).toEqual([1, 2]);
    await finish(1);
    expect(jobs.running).toEqual([2]);
    await finish(2);
    expect([jobs.running, held.at(-1)]).toEqual([[3], '3: 1']);
    await pass(100_000);
    expect([jobs.running, queue.inFlight]).toEqual([[3], 1]);
    await finish(3);
    expect(jobs.running).toEqual([4]);
    await finish(4);
    expect(handled.statuses).toEqual(['1#1 acked', '2#1 acked', '3#3 acked', '4#1 acked']);
  });

  it('runs beside others without a limit', async () => {
    const { jobs } = await handling({ 1: 5, 2: 5, 3: 0 }, { concurrency: 3, deliveryLimit: undefined });
    expect(jobs.running).toEqual([1, 2, 3]);
  });

  it('runs alone even if there are several', async () => {
    const { queue, jobs, held, finish } = await handling({ 1: 0, 2: 2, 3: 3, 4: 2, 5: 0 }, { concurrency: 4 });
    for (const n of upTo(5)) {
      expect(jobs.running).toEqual([n]);
      await finish(n);
    }
    expect(held.slice(1)).toEqual(['2: 1', '3: 1', '4: 1', '5: 1']);
    // Messages in flight beside the first were requeued and redelivered without counting an
    // attempt.
    expect(jobs.started).toEqual(['1#1', '2#3', '3#4', '4#3', '5#1']);
    expect(queue.unfinished).toBe(0);
  });

  it('is the only delivery of a consumer that starts with it', async () => {
    const { queue, jobs, finish } = await handling({ 1: 2, 2: 0 });
    expect([jobs.running, queue.inFlight, queue.size]).toEqual([[1], 1, 1]);
    await finish(1);
    expect(jobs.running).toEqual([2]);
  });

  it('waits for its turn in its lane, and messages behind it are requeued', async () => {
    const { queue, jobs, held, handled, finish } = await handling(
      { 1: 0, 2: 0, 3: 2, 4: 0, 5: 0 },
      { concurrency: 4, orderBy: ({ payload }) => numberOf(payload) % 2 },
    );
    expect(jobs.running).toEqual([1, 2]);
    await finish(1);
    await finish(2);
    await finish(4);
    expect([jobs.running, held.at(-1), queue.inFlight]).toEqual([[3], '3: 1', 1]);
    await finish(3);
    await finish(5);
    expect(handled.statuses.filter((status) => status.endsWith('acked'))).toEqual([
      '1#1 acked',
      '2#1 acked',
      '4#1 acked',
      '3#3 acked',
      '5#1 acked',
    ]);
  });

  it('waits for a retry in place', async () => {
    const { jobs, pass } = await handling(
      { 1: 0, 2: 2 },
      { concurrency: 2, orderBy: ({ payload }) => numberOf(payload), retry: { count: 1, delay: 1000 } },
    );
    await jobs.fail(1);
    await pass(999);
    expect(jobs.running).toEqual([]);
    await pass(1);
    expect(jobs.started).toEqual(['1#1', '1#2']);
    await jobs.finish(1);
    expect(jobs.running).toEqual([2]);
  });

  it('waits up to 30 seconds for running handlers and then runs beside them', async () => {
    const { jobs, pass, finish } = await handling({ 1: 0, 2: 2, 3: 0 }, { concurrency: 3 });
    await pass(29_999);
    expect(jobs.running).toEqual([1]);
    await pass(1);
    expect(jobs.running).toEqual([1, 2]);
    await finish(1);
    expect(jobs.running).toEqual([2]);
    await finish(2);
    expect(jobs.running).toEqual([3]);
  });

  it('ends its isolation after a timeout', async () => {
    const { jobs, pass, handled } = await handling({ 1: 2, 2: 0 }, { timeout: 50 });
    await pass(50);
    expect([handled.statuses, jobs.running]).toEqual([['1#3 rejected'], [1, 2]]);
  });

  it('ends its isolation while its dead letter cannot be delivered', async () => {
    const { jobs, finish, handled, queue } = await handling(
      { 1: 2, 2: 2, 3: 0, 4: 0 },
      { deadLetter: () => new Promise(() => {}) },
    );
    await jobs.fail(1);
    expect(jobs.running).toEqual([2]);
    await finish(2);
    expect(jobs.running).toEqual([3]);
    await finish(3);
    await finish(4);
    expect([handled.statuses, queue.inFlight]).toEqual([['2#3 acked', '3#1 acked', '4#1 acked'], 1]);
  });

  it.each(['signal', 'unsubscribe'] as const)(
    'is requeued without counting an attempt if its consumer stops first: %s',
    async (how) => {
      const controller = new AbortController();
      const { queue, jobs, handled, pass } = await handling({ 1: 0, 2: 2, 3: 2, 4: 0 }, { signal: controller.signal });
      if (how === 'signal') controller.abort();
      else handled.subscription.unsubscribe();
      if (how === 'signal') await jobs.finish(1);
      await pass(60_000);
      expect([jobs.started, queue.inFlight]).toEqual([['1#1'], 0]);
      expect(new Holder(queue).attempts.slice(how === 'signal' ? 0 : 1)).toEqual([
        [2, 3],
        [3, 3],
        [4, 1],
      ]);
    },
  );

  it('finishes if its consumer stops meanwhile, and nothing else is started', async () => {
    const controller = new AbortController();
    const { queue, jobs, handled, clock } = await handling({ 1: 2, 2: 0 }, { signal: controller.signal });
    controller.abort();
    expect([jobs.running, handled.completed]).toEqual([[1], false]);
    await jobs.finish(1);
    expect([handled.statuses, handled.completed, queue.size, queue.inFlight, clock.timers]).toEqual([
      ['1#3 acked'],
      true,
      1,
      0,
      0,
    ]);
  });

  it('is released if the release of messages behind it stops its consumer', async () => {
    const controller = new AbortController();
    const { queue, jobs, handled, finish } = await handling(
      { 1: 0, 2: 0, 3: 2, 4: 0, 5: 0, 7: 0 },
      {
        ...{ concurrency: 4, orderBy: ({ payload }) => numberOf(payload) % 2, signal: controller.signal },
        onOutcome: ({ status }) => status === 'released' && controller.abort(),
      },
    );
    await finish(1);
    await finish(2);
    await finish(4);
    expect(handled.statuses).toEqual([
      '1#1 acked',
      '2#1 acked',
      '4#1 acked',
      '5#1 released',
      '7#1 released',
      '3#3 released',
    ]);
    expect([jobs.running, handled.completed, queue.size, queue.inFlight]).toEqual([[], true, 3, 0]);
  });

  it('does not count attempts of other messages when it crashes its consumers', async () => {
    const { queue, clock } = queueAfter(Object.fromEntries(upTo(40).map((n) => [n, 2])));
    const done: number[] = [];
    for (let life = 3; life <= 11; life++) {
      let guilty: AnyDelivery | undefined;
      const handler = (delivery: Delivery) => {
        if (numberOf(delivery.payload) !== 7) return void done.push(numberOf(delivery.payload));
        guilty = delivery;
        return new Promise(() => {});
      };
      const handled = new Handled(queue.deliveries(), handler, {
        ...LIMITED,
        scheduler: clock.scheduler,
        concurrency: 4,
      });
      for (let turn = 0; turn < 50; turn++) clock.advance();
      expect([guilty?.attempt, queue.inFlight]).toEqual(life > 10 ? [undefined, 0] : [life, 1]);
      if (life > 10) expect(handled.statuses[0]).toBe('7#11 rejected');
      // A release is not a crash. A consumer that has the message in flight counts an attempt.
      handled.subscription.unsubscribe();
      if (queue.size > 0) crashOver(queue, (n) => n === 7);
    }
    expect(done.toSorted((a, b) => a - b)).toEqual(upTo(40).filter((n) => n !== 7));
    expect(queue.unfinished).toBe(0);
  });
});

describe('A delivery past `retry.count` + 1 of a stream without a prefetch', () => {
  const filtered = (queue: MemoryBackend) =>
    queue.deliveries({ prefetch: 100 }).pipe(filter(() => true)) as ReturnType<MemoryBackend['deliveries']>;

  it('runs once earlier deliveries are finished, and later ones wait', async () => {
    const { queue, jobs, finish } = await handling({ 1: 0, 2: 2, 3: 0 }, { concurrency: 2 }, filtered);
    expect(jobs.running).toEqual([1]);
    void publishAll(queue, [4]);
    await finish(1);
    expect(jobs.running).toEqual([2]);
    await finish(2);
    expect(jobs.running).toEqual([3, 4]);
  });

  it('is handled in the order of attempts, fewest first', async () => {
    const { jobs, finish, queue } = await handling({ 1: 4, 2: 3, 3: 2, 4: 0 }, { concurrency: 2 }, filtered);
    await finish(1);
    const first = jobs.started.slice(1);
    expect(first).toEqual(['3#3']);
    for (const n of [3, 2]) await finish(n);
    expect(jobs.running).toEqual([4]);
    await finish(4);
    expect([jobs.started.slice(1), queue.unfinished]).toEqual([['3#3', '2#4', '4#1'], 0]);
  });

  it('lets messages that waited for it run before later ones', async () => {
    const { queue } = queueAfter({ 1: 2, 2: 0, 3: 0, 4: 0, 5: 0 });
    const jobs = new Jobs();
    const started: number[] = [];
    const handler: TestHandler = (delivery, context) => {
      started.push(numberOf(delivery.payload));
      return delivery.attempt > 1 ? jobs.handler(delivery, context) : undefined;
    };
    const source = queue.deliveries({ prefetch: 2 }).pipe(filter(() => true));
    const handled = new Handled(source, handler, { ...LIMITED, orderBy: 'key' });
    await jobs.finish(1);
    await turns();
    expect(started).toEqual(upTo(5));
    handled.subscription.unsubscribe();
  });

  it('lets messages in its lane run when its handler returns synchronously', async () => {
    const { queue } = queueAfter({ 1: 0, 2: 2, 3: 0, 4: 3 });
    const jobs = new Jobs();
    const handler: TestHandler = (delivery, context) =>
      numberOf(delivery.payload) === 2 ? undefined : jobs.handler(delivery, context);
    const source = queue.deliveries({ prefetch: 100 }).pipe(filter(() => true));
    const orderBy = ({ payload }: AnyDelivery) => numberOf(payload) < 4;
    const handled = new Handled(source, handler, { ...LIMITED, concurrency: 2, orderBy });
    await jobs.finish(1);
    await turns();
    expect(handled.statuses).toEqual(['1#1 acked', '2#3 acked']);
    expect(jobs.running).toEqual([3]);
    handled.subscription.unsubscribe();
  });
});

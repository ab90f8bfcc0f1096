import { NEVER, type Observable, of } from 'rxjs';
import { type Delivery, type HandleOptions, handle, MemoryBackend } from 'sluice';
import { numberOf, publishAll, upTo } from '../support/consumers.js';
import { FakeDelivery, Jobs, Processing } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

const parity = (n: number) => (n % 2 === 0 ? 'even' : 'odd');

/** Jobs in lanes of odd and even numbers. */
function inLanes(options: HandleOptions = {}, prefetch = 32) {
  const jobs = new Jobs();
  const processing = new Processing(
    jobs.handler,
    { concurrency: 8, orderBy: 'key', retry: { count: 2, delay: 10 }, ...options },
    { prefetch },
  );
  return { jobs, processing };
}

function queueOf(numbers: readonly number[]): MemoryBackend {
  const queue = new MemoryBackend({ logger: silentLogger });
  void publishAll(queue, numbers);
  return queue;
}

describe("handle with orderBy: 'key'", () => {
  it('handles one message of a key at a time and different keys in parallel', async () => {
    const { jobs, processing } = inLanes();
    processing.publish(upTo(6), parity);
    expect(jobs.running).toEqual([1, 2]);
    await jobs.finish(2);
    expect(jobs.running).toEqual([1, 4]);
    await jobs.finish(4);
    expect(jobs.running).toEqual([1, 6]);
    await jobs.finish(6);
    expect(jobs.running).toEqual([1]);
    for (const n of [1, 3, 5]) await jobs.finish(n, n);
    expect(processing.values).toEqual([1, 3, 5]);
    expect(processing.queue.unfinished).toBe(0);
  });

  it('never exceeds the concurrency', async () => {
    const { jobs, processing } = inLanes({ concurrency: 2 });
    processing.publish(upTo(12), (n) => `lane ${n % 4}`);
    while (jobs.running.length > 0) {
      expect(jobs.running.length).toBeLessThanOrEqual(2);
      await jobs.finish(jobs.running.at(-1) as number);
    }
    expect([jobs.peak, processing.queue.unfinished]).toEqual([2, 0]);
    for (const lane of [0, 1, 2, 3]) {
      const started = jobs.started.map((name) => Number.parseInt(name, 10)).filter((n) => n % 4 === lane);
      expect(started).toEqual([...started].sort((a, b) => a - b));
    }
  });

  it('does not let a blocked key occupy the slots', async () => {
    const { jobs, processing } = inLanes({ concurrency: 2 }, 100);
    processing.publish(upTo(20), () => 'blocked');
    processing.publish([21, 22, 23], String);
    expect(jobs.running).toEqual([1, 21]);
    await jobs.finish(21);
    await jobs.finish(22);
    await jobs.finish(23);
    expect(jobs.running).toEqual([1]);
    expect(processing.statuses).toEqual(['21#1 acked', '22#1 acked', '23#1 acked']);
  });

  it('retries in place and delays only its own key', async () => {
    const { jobs, processing } = inLanes({ concurrency: 1 });
    processing.publish(upTo(4), parity);
    await jobs.fail(1);
    expect([processing.statuses, jobs.running, processing.queue.inFlight]).toEqual([['1#1 retried'], [2], 4]);
    await jobs.finish(2);
    await jobs.finish(4);
    expect(jobs.running).toEqual([]);
    await processing.pass(9);
    expect(jobs.running).toEqual([]);
    await processing.pass(1);
    expect(jobs.started).toEqual(['1#1', '2#1', '4#1', '1#2']);
    await jobs.fail(1);
    await processing.pass(10);
    await jobs.finish(1, 'third time');
    expect(jobs.running).toEqual([3]);
    await jobs.finish(3);
    expect(processing.statuses).toEqual([
      '1#1 retried',
      '2#1 acked',
      '4#1 acked',
      '1#2 retried',
      '1#3 acked',
      '3#1 acked',
    ]);
    expect([processing.values, processing.queue.unfinished, processing.clock.timers]).toEqual([['third time'], 0, 0]);
  });

  it.each(['runs', 'waits for a retry'])(
    'keeps the order of a key while a thousand others pass, if its first message %s',
    async (what) => {
      const { jobs, processing } = inLanes();
      processing.publish([1], () => 'busy');
      if (what !== 'runs') await jobs.fail(1);
      for (const n of upTo(1000)) {
        processing.publish([n + 1], String);
        await jobs.finish(n + 1);
      }
      processing.publish([2000, 2001], () => 'busy');
      expect(jobs.running).toEqual(what === 'runs' ? [1] : []);
      if (what !== 'runs') await processing.pass(10);
      for (const n of [1, 2000, 2001]) {
        expect(jobs.running).toEqual([n]);
        await jobs.finish(n);
      }
      expect(processing.queue.unfinished).toBe(0);
    },
  );

  it('emits a result before the next message of its key starts', async () => {
    const sources: Observable<Delivery>[] = [
      of(new FakeDelivery(1), new FakeDelivery(2)),
      queueOf([1, 2]).deliveries(),
    ];
    for (const source of sources) {
      const order: string[] = [];
      const handler = async ({ payload }: Delivery) => {
        order.push(`start ${numberOf(payload)}`);
        return numberOf(payload);
      };
      source.pipe(handle(handler, { orderBy: 'key', concurrency: 4 })).subscribe((n) => order.push(`value ${n}`));
      await turns(6);
      expect(order).toEqual(['start 1', 'value 1', 'start 2', 'value 2']);
    }
  });

  it('appends messages that arrive while the only one of a key is retried', async () => {
    const { jobs, processing } = inLanes();
    processing.publish([1]);
    await jobs.fail(1);
    await processing.pass(10);
    expect(jobs.running).toEqual([1]);
    processing.publish([2, 3]);
    expect(jobs.running).toEqual([1]);
    await jobs.fail(1);
    processing.publish([4]);
    await processing.pass(10);
    for (const n of upTo(4)) {
      expect(jobs.running).toEqual([n]);
      await jobs.finish(n);
    }
    expect(processing.queue.unfinished).toBe(0);
  });

  it('retries one message twenty thousand times without growing the stack', () => {
    const RETRIES = 20_000;
    const processing = new Processing(
      (delivery) => {
        if (delivery.attempt <= RETRIES) throw new Error('boom');
        return [delivery.key, delivery.settled, numberOf(delivery.payload)];
      },
      { orderBy: 'key', retry: { count: RETRIES, delay: 1 }, logger: silentLogger },
    );
    processing.publish([1]);
    processing.clock.advance(RETRIES);
    expect([processing.values, processing.outcomes.length]).toEqual([[['number', false, 1]], RETRIES + 1]);
  });

  it('keeps the order after a message is given up', async () => {
    const { jobs, processing } = inLanes();
    processing.publish([1, 3], parity);
    for (const _ of upTo(3)) {
      expect(jobs.running).toEqual([1]);
      await jobs.fail(1);
      await processing.pass(10);
    }
    expect(processing.statuses).toEqual(['1#1 retried', '1#2 retried', '1#3 rejected']);
    expect(jobs.running).toEqual([3]);
  });

  it('starts the next message of a key once the dead letter is published', async () => {
    let arrived = (): void => {};
    const deadLetter = () =>
      new Promise<void>((resolve) => {
        arrived = resolve;
      });
    const { jobs, processing } = inLanes({ retry: { count: 0 }, deadLetter, concurrency: 1 });
    processing.publish([1, 3, 2], parity);
    await jobs.fail(1);
    expect(jobs.running).toEqual([2]);
    await jobs.finish(2);
    expect(jobs.running).toEqual([]);
    arrived();
    await turns();
    expect(jobs.running).toEqual([3]);
  });

  it('retries a timed out message in place, too', async () => {
    const runs: string[] = [];
    const processing = new Processing(
      ({ payload, attempt }) => {
        runs.push(`${numberOf(payload)}#${attempt}`);
        return numberOf(payload) === 1 && attempt === 1 ? NEVER : undefined;
      },
      { orderBy: 'key', timeout: 100, retry: { delay: 10 } },
    );
    processing.publish([1, 2]);
    await processing.pass(100);
    expect([runs, processing.queue.inFlight]).toEqual([['1#1'], 2]);
    await processing.pass(10);
    expect(runs).toEqual(['1#1', '1#2', '2#1']);
    expect(processing.clock.timers).toBe(0);
  });

  it('keeps all properties of a delivery in a retry, except the attempt', async () => {
    const seen: Delivery[] = [];
    const processing = new Processing(
      (delivery) => {
        seen.push(delivery);
        if (seen.length < 3) throw new Error('boom');
        return delivery.ack();
      },
      { orderBy: 'key', retry: { count: 2, delay: 1 } },
    );
    void processing.queue.publish('orders', { n: 1 }, { headers: { trace: 'abc' } });
    processing.clock.advance(2);
    await turns();
    const facts = seen.map(({ queue, id, key, payload, headers, publishedAt, settled }) => ({
      queue,
      id,
      key,
      payload,
      headers,
      publishedAt,
      settled,
    }));
    expect(facts[2]).toEqual(facts[0]);
    expect(facts[0]).toMatchObject({
      queue: 'work',
      key: 'orders',
      payload: { n: 1 },
      headers: { trace: 'abc' },
      settled: 'acked',
    });
    expect(seen.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    expect([processing.values, processing.queue.unfinished]).toEqual([[true], 0]);
  });

  it.each(['ack', 'nack', 'release', 'reject'] as const)(
    'continues with the key if a handler settles with %s in a later attempt',
    async (method) => {
      let done = false;
      const runs: string[] = [];
      const processing = new Processing(
        (delivery) => {
          runs.push(`${numberOf(delivery.payload)}#${delivery.attempt}`);
          if (numberOf(delivery.payload) === 2 || done) return undefined;
          if (delivery.attempt < 3) throw new Error('boom');
          done = true;
          return delivery[method]();
        },
        { orderBy: 'key', retry: { count: 5, delay: 1 } },
      );
      processing.publish([1, 2]);
      await processing.pass(1);
      await processing.pass(1);
      await processing.pass(0);
      expect(runs.slice(0, 4)).toEqual(['1#1', '1#2', '1#3', '2#1']);
      expect(processing.queue.unfinished).toBe(0);
    },
  );

  it('continues with the key if a message is settled while its retry waits', async () => {
    const seen: Delivery[] = [];
    const processing = new Processing(
      (delivery) => {
        seen.push(delivery);
        if (numberOf(delivery.payload) === 1) throw new Error('boom');
      },
      { orderBy: 'key', retry: { delay: 10 } },
    );
    processing.publish([1, 2]);
    await seen[0]?.ack();
    await processing.pass(10);
    expect(seen.map(({ payload, attempt }) => `${numberOf(payload)}#${attempt}`)).toEqual(['1#1', '2#1']);
    expect([processing.queue.unfinished, processing.clock.timers]).toEqual([0, 0]);
  });

  it('emits results in the order of the key', async () => {
    const processing = new Processing(async ({ payload }) => numberOf(payload), { orderBy: 'key', concurrency: 8 });
    processing.publish(upTo(50), parity);
    await turns(10);
    const values = processing.values as number[];
    for (const lane of [0, 1])
      expect(values.filter((n) => n % 2 === lane)).toEqual(upTo(50).filter((n) => n % 2 === lane));
  });
});

describe('handle with an orderBy function', () => {
  it.each<[string, (delivery: Delivery) => unknown]>([
    ['numbers', ({ payload }) => numberOf(payload) % 2],
    ['undefined and NaN', ({ payload }) => (numberOf(payload) % 2 === 0 ? undefined : Number.NaN)],
    ['objects', ({ payload }) => [turns, inLanes][numberOf(payload) % 2]],
    ['null and false', ({ payload }) => [null, false][numberOf(payload) % 2]],
  ])('orders by its return value: %s', async (_, orderBy) => {
    const { jobs, processing } = inLanes({ orderBy });
    processing.publish(upTo(4));
    expect(jobs.running).toEqual([1, 2]);
    await jobs.finish(1);
    expect(jobs.running).toEqual([2, 3]);
    await jobs.finish(2);
    expect(jobs.running).toEqual([3, 4]);
  });

  it('keeps no order if it returns a new object each time', () => {
    const { jobs, processing } = inLanes({ orderBy: () => ({}) });
    processing.publish(upTo(4));
    expect(jobs.running).toEqual(upTo(4));
  });

  it('fails only its own message if it throws', async () => {
    const runs: number[] = [];
    const boom = new Error('no key');
    const processing = new Processing(({ payload }) => void runs.push(numberOf(payload)), {
      retry: { count: 1, delay: 10 },
      orderBy: ({ payload }) => {
        if (numberOf(payload) === 1) throw boom;
        return 'one';
      },
    });
    processing.publish([1, 2, 3]);
    expect(runs).toEqual([2, 3]);
    await processing.pass(10);
    expect(processing.statuses).toEqual(['1#1 retried', '2#1 acked', '3#1 acked', '1#2 rejected']);
    expect(processing.outcomes[0]?.error).toBe(boom);
    expect(processing.queue.unfinished).toBe(0);
  });

  it('is called once per delivery', () => {
    let asked = 0;
    const processing = new Processing(
      ({ attempt }) => {
        if (attempt === 1) throw new Error('boom');
      },
      { orderBy: () => asked++, retry: { delay: 1 } },
    );
    processing.publish([1, 2]);
    processing.clock.advance(1);
    expect([asked, processing.queue.unfinished]).toEqual([2, 0]);
  });
});

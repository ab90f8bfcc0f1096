import { MemoryBackend } from 'sluice';
import { drain, full, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';

/** The number and attempt of each message left in a queue. */
function left(queue: MemoryBackend): [n: number, attempt: number][] {
  const seen: [number, number][] = [];
  const subscription = queue
    .deliveries({ prefetch: 100 })
    .subscribe(({ payload, attempt }) => seen.push([numberOf(payload), attempt]));
  subscription.unsubscribe();
  return seen;
}

// The contract is the same for both. A prefetch of 1 may use a shortcut.
describe.each([1, 8])('consume() with a prefetch of %i', (prefetch) => {
  const setUp = (numbers: number[] = []) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    void publishAll(queue, numbers);
    return queue;
  };

  it('acknowledges a payload synchronously in the following next()', async () => {
    const queue = setUp(upTo(3));
    const payloads = queue.consume({ prefetch });
    await payloads.next();
    await turns();
    expect(queue.unfinished).toBe(3);
    void payloads.next();
    expect(queue.unfinished).toBe(2);
    void payloads.next();
    expect(queue.unfinished).toBe(1);
  });

  it('acknowledges a payload immediately if another next() is pending', () => {
    const queue = setUp();
    const payloads = queue.consume({ prefetch });
    void payloads.next();
    void payloads.next();
    void publishAll(queue, [1]);
    expect(queue.unfinished).toBe(0);
    void publishAll(queue, [2]);
    expect(queue.unfinished).toBe(1);
  });

  it('keeps a payload unfinished while the loop body runs', async () => {
    const queue = setUp(upTo(2));
    const unfinished: number[] = [];
    const joinedIn: string[] = [];
    for await (const payload of queue.consume({ prefetch })) {
      unfinished.push(queue.unfinished);
      await turns();
      joinedIn.push(await stateOf(queue.join()));
      if (numberOf(payload) === 2) break;
    }
    expect(unfinished).toEqual([2, 1]);
    expect(joinedIn).toEqual(['pending', 'pending']);
    await queue.join();
  });

  it('acknowledges the last payload on break and leaves the rest untouched', async () => {
    const queue = setUp(upTo(4));
    for await (const payload of queue.consume({ prefetch })) if (numberOf(payload) === 2) break;
    expect([queue.size, queue.inFlight]).toEqual([2, 0]);
    expect(left(queue)).toEqual([
      [3, 1],
      [4, 1],
    ]);
  });

  it('acknowledges a payload although the loop body throws', async () => {
    const queue = setUp(upTo(2));
    const boom = new Error('boom');
    const loop = async (): Promise<void> => {
      for await (const _ of queue.consume({ prefetch })) throw boom;
    };
    expect(await rejectionOf(loop())).toBe(boom);
    expect(left(queue)).toEqual([[2, 1]]);
  });

  it.each(['return', 'throw'] as const)('acknowledges the last payload synchronously in %s()', async (leave) => {
    const queue = setUp(upTo(2));
    const payloads = full(queue.consume({ prefetch }));
    await payloads.next();
    void payloads[leave]().catch(() => {});
    expect([queue.unfinished, queue.inFlight]).toEqual([1, 0]);
    expect(left(queue)).toEqual([[2, 1]]);
  });

  it('stops the intake before it acknowledges on return()', async () => {
    const queue = setUp(upTo(3));
    const payloads = full(queue.consume({ prefetch }));
    await payloads.next();
    const seen: [unfinished: number, inFlight: number][] = [];
    queue.unfinished$.subscribe((unfinished) => seen.push([unfinished, queue.inFlight]));
    await payloads.return();
    expect(seen.at(-1)).toEqual([2, 0]);
  });

  it('takes no more than its prefetch', async () => {
    const queue = setUp(upTo(20));
    const payloads = queue.consume({ prefetch });
    expect(queue.inFlight).toBe(0);
    for (const _ of upTo(5)) {
      await payloads.next();
      await turns();
      expect(queue.inFlight).toBe(prefetch);
    }
    expect(queue.size).toBe(20 - prefetch - 4);
  });

  it('receives a published message immediately while it waits', async () => {
    const queue = setUp();
    const pending = queue.consume({ prefetch }).next();
    void publishAll(queue, [1]);
    expect([queue.size, queue.inFlight]).toEqual([0, 1]);
    expect(await pending).toEqual({ done: false, value: { n: 1 } });
  });

  it('ends without an error if it is aborted while it waits', async () => {
    const queue = setUp();
    const controller = new AbortController();
    const seen = drain(queue.consume({ prefetch, signal: controller.signal }));
    await turns();
    controller.abort();
    void publishAll(queue, [1]);
    expect(await seen).toEqual([]);
    expect(left(queue)).toEqual([[1, 1]]);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('lets the loop body finish after an abort, then acknowledges it, and requeues the rest immediately', async () => {
    const queue = setUp(upTo(4));
    const controller = new AbortController();
    const seen: number[] = [];
    const during: [inFlight: number, size: number][] = [];
    for await (const payload of queue.consume({ prefetch, signal: controller.signal })) {
      seen.push(numberOf(payload));
      if (seen.length < 2) continue;
      controller.abort();
      during.push([queue.inFlight, queue.size]);
      await turns();
      during.push([queue.inFlight, queue.size]);
    }
    expect(seen).toEqual([1, 2]);
    expect(during).toEqual([
      [1, 2],
      [1, 2],
    ]);
    expect(queue.unfinished).toBe(2);
    expect(left(queue)).toEqual([
      [3, 1],
      [4, 1],
    ]);
  });

  it('is empty if its signal is already aborted', async () => {
    const queue = setUp([1]);
    expect(await drain(queue.consume({ prefetch, signal: AbortSignal.abort() }))).toEqual([]);
    expect(left(queue)).toEqual([[1, 1]]);
  });

  it('loses no message if return() is called while a next() is pending', async () => {
    const queue = setUp();
    const payloads = full(queue.consume({ prefetch }));
    const pending = payloads.next();
    await payloads.return();
    void publishAll(queue, [1]);
    expect(await pending).toEqual({ done: true, value: undefined });
    expect(left(queue)).toEqual([[1, 1]]);
  });

  it('ends when the queue is closed and drained', async () => {
    const queue = setUp(upTo(3));
    const seen = drain(queue.consume({ prefetch }));
    await queue.close();
    expect((await seen).map(numberOf)).toEqual(upTo(3));
    expect(queue.unfinished).toBe(0);
    expect(await drain(queue.consume({ prefetch }))).toEqual([]);
  });

  it('ends when the queue closes while it waits', async () => {
    const queue = setUp();
    const pending = queue.consume({ prefetch }).next();
    await queue.close();
    expect(await pending).toEqual({ done: true, value: undefined });
  });

  it('receives messages that another consumer of a closed queue requeues', async () => {
    const queue = setUp([1]);
    const holder = queue.deliveries().subscribe();
    const pending = queue.consume({ prefetch }).next();
    await queue.close();
    expect(await stateOf(pending)).toBe('pending');
    holder.unsubscribe();
    expect(await pending).toEqual({ done: false, value: { n: 1 } });
  });

  it('receives a redelivered message', async () => {
    const queue = setUp([1]);
    let nacked = 0;
    const subscription = queue.deliveries().subscribe((delivery) => {
      nacked++;
      void delivery.nack({ delay: 1 });
    });
    subscription.unsubscribe();
    expect(await pull(queue.consume({ prefetch }), 1)).toEqual([{ n: 1 }]);
    expect(nacked).toBe(1);
  });
});

describe('consume()', () => {
  it('takes one message at a time by default', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(5));
    const payloads = queue.consume();
    await payloads.next();
    await turns();
    expect([queue.inFlight, queue.size]).toEqual([1, 4]);
  });

  it('distributes messages between two loops', async () => {
    const queue = new MemoryBackend();
    const [first, second] = [drain(queue.consume()), drain(queue.consume())];
    for (const n of upTo(20)) {
      await queue.publish('number', { n });
      await turns(1);
    }
    await queue.close();
    const counts = (await Promise.all([first, second])).map(({ length }) => length);
    expect(counts).toEqual([10, 10]);
  });
});

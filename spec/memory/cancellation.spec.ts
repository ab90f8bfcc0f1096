import { type Delivery, MemoryBackend, type QueueBackend, receive } from 'sluice';
import { drain, full, Holder, numberOf, publishAll, pull, upTo } from '../support/consumers.js';
import { rejectionOf, stateOf, turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';

/** A consumer that waits for one message and can be cancelled. */
interface Reader {
  /** The received number, or undefined if it was cancelled. */
  readonly result: Promise<number | undefined>;
  cancel(): void;
}

const READERS: Record<string, (queue: QueueBackend) => Reader> = {
  'receive()': (queue) => {
    const controller = new AbortController();
    const received = receive(queue, { signal: controller.signal });
    return { result: received.then(settled, () => undefined), cancel: () => controller.abort() };
  },
  'consume() ended by return()': (queue) => {
    const payloads = full(queue.consume());
    return { result: payloads.next().then(payloadNumber), cancel: () => void payloads.return() };
  },
  'consume() that is aborted': (queue) => {
    const controller = new AbortController();
    const payloads = full(queue.consume({ signal: controller.signal }));
    const result = payloads.next().then(payloadNumber);
    return { result: result.finally(() => payloads.return()), cancel: () => controller.abort() };
  },
  'consume() with a prefetch of 8 ended by return()': (queue) => {
    const payloads = full(queue.consume({ prefetch: 8 }));
    return { result: payloads.next().then(payloadNumber), cancel: () => void payloads.return() };
  },
  'an aborted iteration of deliveries()': (queue) => {
    const controller = new AbortController();
    const deliveries = full(queue.deliveries({ signal: controller.signal })[Symbol.asyncIterator]());
    const result = deliveries.next().then(({ done, value }) => (done ? undefined : settled(value as Delivery)));
    return { result, cancel: () => controller.abort() };
  },
};

async function settled(delivery: Delivery): Promise<number> {
  await delivery.ack();
  return numberOf(delivery.payload);
}

function payloadNumber({ done, value }: IteratorResult<object, unknown>): number | undefined {
  return done ? undefined : numberOf(value as object);
}

describe.each(Object.entries(READERS))('A waiting reader: %s', (_, read) => {
  const setUp = () => new MemoryBackend({ logger: silentLogger });

  it('takes no message after it was cancelled', async () => {
    const queue = setUp();
    const reader = read(queue);
    await turns();
    reader.cancel();
    void publishAll(queue, [1]);
    expect(await reader.result).toBeUndefined();
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
    expect(new Holder(queue).attempts).toEqual([[1, 1]]);
  });

  it.each(['publish first', 'cancel first'])(
    'neither loses nor duplicates a message if it is cancelled in the same turn: %s',
    async (order) => {
      const queue = setUp();
      const [first, second] = [read(queue), read(queue)];
      await turns();
      if (order === 'publish first') {
        void publishAll(queue, [1]);
        first.cancel();
      } else {
        first.cancel();
        void publishAll(queue, [1]);
      }
      // The remaining consumer gets the second message.
      void publishAll(queue, [2]);
      await turns();
      second.cancel();
      const got = (await Promise.all([first.result, second.result])).filter((n) => n !== undefined);
      const left = new Holder(queue).numbers;
      expect([...got, ...left].toSorted()).toEqual([1, 2]);
      expect(got.length).toBeGreaterThan(0);
      if (order === 'cancel first') expect(await first.result).toBeUndefined();
    },
  );

  it('passes its turn to the remaining readers', async () => {
    const queue = setUp();
    const readers = upTo(5).map(() => read(queue));
    await turns();
    readers[0]?.cancel();
    readers[2]?.cancel();
    void publishAll(queue, upTo(3));
    expect(await Promise.all(readers.map(({ result }) => result))).toEqual([undefined, 1, undefined, 2, 3]);
    expect(queue.size).toBe(0);
  });

  it('is served first come, first served', async () => {
    const queue = setUp();
    const readers = upTo(4).map(() => read(queue));
    void publishAll(queue, upTo(4));
    expect(await Promise.all(readers.map(({ result }) => result))).toEqual([1, 2, 3, 4]);
  });

  it('receives a message that another consumer requeues', async () => {
    const queue = setUp();
    const holder = new Holder(queue, { prefetch: 1 });
    void publishAll(queue, [1]);
    const reader = read(queue);
    await turns();
    holder.subscription.unsubscribe();
    expect(await reader.result).toBe(1);
  });

  it('ends when the queue closes', async () => {
    const queue = setUp();
    const reader = read(queue);
    await queue.close();
    expect(await reader.result).toBeUndefined();
  });

  it('loses no message while readers come and go', async () => {
    const queue = setUp();
    const got: number[] = [];
    for (const n of upTo(300)) {
      const readers = [read(queue), read(queue), read(queue)];
      if (n % 2 === 0) await turns(1);
      readers[n % 3]?.cancel();
      void publishAll(queue, [n]);
      readers[(n + 1) % 3]?.cancel();
      if (n % 3 === 0) await Promise.resolve();
      readers[(n + 2) % 3]?.cancel();
      const results = await Promise.all(readers.map(({ result }) => result));
      got.push(...results.filter((result) => result !== undefined));
    }
    const left = new Holder(queue, { prefetch: 1000 }).numbers;
    expect([...got, ...left].toSorted((a, b) => a - b)).toEqual(upTo(300));
  });
});

describe('Cancellation', () => {
  it('of concurrent publishes and readers leaves a working queue', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const waiting = upTo(3).map((n) =>
      rejectionOf(queue.publish('number', { n: n + 1 }, { signal: controller.signal })),
    );
    controller.abort('off');
    expect(await Promise.all(waiting)).toEqual(['off', 'off', 'off']);
    const payloads = queue.consume();
    expect(await pull(payloads, 1)).toEqual([{ n: 1 }]);
    const pending = payloads.next();
    await queue.publish('number', { n: 9 });
    expect(await pending).toEqual({ done: false, value: { n: 9 } });
  });

  it('of a subscriber in the turn of its message redelivers the message to the next one', () => {
    const queue = new MemoryBackend();
    const [first, second] = [new Holder(queue), new Holder(queue)];
    void publishAll(queue, [1]);
    first.subscription.unsubscribe();
    expect(second.attempts).toEqual([[1, 2]]);
    expect([queue.size, queue.inFlight]).toEqual([0, 1]);
  });

  it('is never logged as a warning or an error', async () => {
    const logged: string[] = [];
    const queueLogger = {
      debug() {},
      warn: (message: string) => logged.push(message),
      error: (message: string) => logged.push(message),
    };
    const queue = new MemoryBackend({ capacity: 1, logger: queueLogger });
    const controller = new AbortController();
    const { signal } = controller;
    void publishAll(queue, [1]);
    new Holder(queue, { prefetch: 1 });
    void publishAll(queue, [2]);
    const waits = [queue.publish('number', { n: 3 }, { signal }), queue.join({ signal })].map(rejectionOf);
    const empty = new MemoryBackend({ logger: queueLogger });
    const received = rejectionOf(receive(empty, { signal }));
    const consumed = drain(empty.consume({ signal }));
    controller.abort('off');
    expect(await Promise.all([...waits, received])).toEqual(['off', 'off', 'off']);
    expect(await consumed).toEqual([]);
    expect(logged).toEqual([]);
  });
});

describe('Closing a queue', () => {
  it('ends waiting readers, delivers waiting messages and makes join() wait for those in flight', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(3));
    const out = await receive(queue);
    await queue.close();
    const joined = queue.join();
    expect(await pull(queue.consume(), 2)).toEqual([{ n: 2 }, { n: 3 }]);
    expect(await stateOf(joined)).toBe('pending');
    await out.ack();
    // The last pulled payload is not acknowledged yet.
    expect(queue.unfinished).toBe(1);
  });

  it('drops waiting messages immediately with drain: false, but not those in flight', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, upTo(3));
    const out = await receive(queue);
    await queue.close({ drain: false });
    const joined = queue.join();
    expect(await stateOf(joined)).toBe('pending');
    await out.ack();
    await joined;
    expect(await drain(queue.consume())).toEqual([]);
  });
});

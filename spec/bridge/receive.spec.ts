import { throwError } from 'rxjs';
import { type Delivery, MemoryBackend, QueueClosedError, type ReceiveOptions, receive } from 'sluice';
import { Holder, numberOf, publishAll, pull } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { CountingController, listenersOf } from '../support/signals.js';
import { VirtualClock } from '../support/virtual-clock.js';

const nOf = ({ payload }: Delivery): number => numberOf(payload);

describe('receive', () => {
  it('receives a waiting message', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1, 2]);
    expect(nOf(await receive(queue))).toBe(1);
  });

  it('waits for a message', async () => {
    const queue = new MemoryBackend();
    const received = receive(queue);
    expect(await stateOf(received)).toBe('pending');
    void publishAll(queue, [1]);
    expect(nOf(await received)).toBe(1);
  });

  it('takes exactly one message', async () => {
    const queue = new MemoryBackend();
    const received = receive(queue);
    void publishAll(queue, [1, 2, 3]);
    expect(queue.inFlight).toBe(1);
    await received;
    await turns();
    expect(queue.inFlight).toBe(1);
    expect(queue.size).toBe(2);
  });

  it('keeps its delivery in flight until it is settled', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1]);
    const delivery = await receive(queue);
    await turns();
    expect(delivery.settled).toBe(false);
    expect(queue.unfinished).toBe(1);
    expect(await delivery.ack()).toBe(true);
    expect(queue.unfinished).toBe(0);
  });

  it('counts an attempt when its delivery is nacked', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1]);
    const first = await receive(queue);
    await first.nack();
    const second = await receive(queue);
    expect([first.attempt, second.attempt]).toEqual([1, 2]);
    expect(second.id).toBe(first.id);
  });

  it('serves waiting calls in turn', async () => {
    const queue = new MemoryBackend();
    const received = [receive(queue), receive(queue), receive(queue)];
    void publishAll(queue, [1, 2, 3]);
    expect((await Promise.all(received)).map(nOf)).toEqual([1, 2, 3]);
  });

  it('receives for its group', async () => {
    const queue = new MemoryBackend({ groups: ['billing', 'audit'] });
    void publishAll(queue, [1]);
    const received = await Promise.all([receive(queue, { group: 'billing' }), receive(queue, { group: 'audit' })]);
    expect(received.map(nOf)).toEqual([1, 1]);
  });

  it('rejects with the reason of an abort, and takes nothing', async () => {
    const queue = new MemoryBackend();
    const controller = new AbortController();
    const received = receive(queue, { signal: controller.signal });
    const reason = new Error('enough');
    controller.abort(reason);
    expect(await rejectionOf(received)).toBe(reason);
    void publishAll(queue, [1]);
    await turns();
    expect(queue.inFlight).toBe(0);
    expect(await pull(queue.consume(), 1)).toEqual([{ n: 1 }]);
  });

  it('takes no message after a timeout', async () => {
    const queue = new MemoryBackend();
    const received = receive(queue, { signal: AbortSignal.timeout(1) });
    await expect(received).rejects.toMatchObject({ name: 'TimeoutError' });
    void publishAll(queue, [1]);
    const delivery = await receive(queue);
    expect([nOf(delivery), delivery.attempt]).toEqual([1, 1]);
  });

  it('rejects with the reason of an aborted signal, even if a message is waiting', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1]);
    expect(await rejectionOf(receive(queue, { signal: AbortSignal.abort('no') }))).toBe('no');
    expect([queue.size, queue.inFlight]).toEqual([1, 0]);
  });

  it('either resolves with its message or requeues it if the abort happens in the same turn', async () => {
    for (const publishFirst of [true, false]) {
      const queue = new MemoryBackend({ logger: silentLogger });
      const controller = new AbortController();
      const received = receive(queue, { signal: controller.signal });
      const acts = [() => void publishAll(queue, [1]), () => controller.abort()];
      for (const act of publishFirst ? acts : acts.reverse()) act();
      const outcome = await outcomeOf(received);
      expect([queue.inFlight, queue.size]).toEqual(outcome.state === 'fulfilled' ? [1, 0] : [0, 1]);
      if (!publishFirst) expect(outcome.state).toBe('rejected');
    }
  });

  it('does not settle the delivery when the signal aborts afterwards', async () => {
    const queue = new MemoryBackend();
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const delivery = await receive(queue, { signal: controller.signal });
    controller.abort();
    await turns();
    expect(delivery.settled).toBe(false);
    expect(await delivery.ack()).toBe(true);
  });

  it('rejects with QueueClosedError when the queue closes', async () => {
    const queue = new MemoryBackend();
    const received = receive(queue);
    await queue.close();
    expect(QueueClosedError.is(await rejectionOf(received))).toBe(true);
  });

  it('rejects with QueueClosedError if the queue is already closed and empty', async () => {
    const queue = new MemoryBackend();
    await queue.close();
    expect(QueueClosedError.is(await rejectionOf(receive(queue)))).toBe(true);
  });

  it('still receives from a closed queue', async () => {
    const queue = new MemoryBackend();
    void publishAll(queue, [1]);
    await queue.close();
    const delivery = await receive(queue);
    expect(nOf(delivery)).toBe(1);
    await delivery.ack();
    expect(QueueClosedError.is(await rejectionOf(receive(queue)))).toBe(true);
  });

  it('rejects with the error of the backend', async () => {
    const queue = new MemoryBackend();
    const boom = new Error('boom');
    const broken = Object.create(queue, {
      deliveries: { value: () => throwError(() => boom) },
      name: { value: 'broken' },
    }) as MemoryBackend;
    const controller = new AbortController();
    expect(await rejectionOf(receive(broken, { signal: controller.signal }))).toBe(boom);
    expect(listenersOf(controller.signal)).toBe(0);
  });

  it('leaves no listener behind', async () => {
    const queue = new MemoryBackend();
    const controller = new CountingController();
    void publishAll(queue, [1]);
    const delivery = await receive(queue, { signal: controller.signal });
    expect(listenersOf(controller.signal)).toBe(0);
    await delivery.ack();
    const received = receive(queue, { signal: controller.signal });
    expect(listenersOf(controller.signal)).toBe(1);
    await queue.close({ drain: false });
    await rejectionOf(received);
    expect(listenersOf(controller.signal)).toBe(0);
    expect(controller.added).toBe(controller.removed);
  });

  it('leaves no subscription behind: the next message goes to others', async () => {
    const { scheduler } = new VirtualClock();
    const queue = new MemoryBackend({ scheduler, logger: recordingLogger() });
    void publishAll(queue, [1]);
    const delivery = await receive(queue);
    const others = new Holder(queue, { prefetch: 1 });
    void publishAll(queue, [2]);
    expect(others.numbers).toEqual([2]);
    await delivery.ack();
    await queue.close();
    await others.of(2).ack();
    expect(others.completed).toBe(true);
  });

  it.each<[string, 'TypeError' | 'RangeError', unknown]>([
    ['group', 'RangeError', { group: '' }],
    ['group', 'TypeError', { group: 7 }],
    ['group', 'TypeError', { group: null }],
    ['signal', 'TypeError', { signal: {} }],
    ['signal', 'TypeError', { signal: null }],
    ['options', 'TypeError', null],
  ])('rejects an invalid %s with a %s that names it', async (name, errorName, options) => {
    // Called outside of a promise: a synchronous error fails the test.
    const received = receive(new MemoryBackend(), options as ReceiveOptions);
    const error = await rejectionOf(received);
    expect(error).toMatchObject({ name: errorName, message: expect.stringContaining(name) });
  });
});

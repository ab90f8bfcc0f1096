import { MemoryBackend, receive } from 'sluice';
import { full, Holder, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { runScript } from '../support/run-script.js';
import { VirtualClock } from '../support/virtual-clock.js';

describe('Logs of a queue', () => {
  it('are empty if all goes well', async () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger, capacity: 2 });
    const holder = new Holder(queue, { prefetch: 3 });
    await Promise.all(publishAll(queue, upTo(3)));
    for (const n of upTo(3)) await holder.of(n).ack();
    await queue.close();
    expect([logger.debugs, logger.warnings, logger.errors]).toEqual([[], [], []]);
  });

  it('never affect a call, even if the logger throws', async () => {
    const result = await runScript(`
      const { MemoryBackend, receive } = sluice;
      process.on('uncaughtException', ({ message }) => console.log('uncaught', message));
      const fail = () => { throw new Error('logger'); };
      const queue = new MemoryBackend({ logger: { debug: fail, warn: fail, error: fail }, capacity: 1 });
      const controller = new AbortController();
      await queue.publish('key', {});
      const waiting = queue.publish('key', {}, { signal: controller.signal }).catch((reason) => reason);
      controller.abort('given up');
      console.log(await waiting);
      const delivery = await receive(queue);
      console.log(await delivery.ack(), await delivery.ack());
    `);
    expect(result.output.split('\n').filter((line) => !line.startsWith('uncaught'))).toEqual([
      'given up',
      'true false',
    ]);
    expect(result.output).toContain('uncaught logger');
  });

  it('contain an aborted waiting publish at debug', async () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger, capacity: 1, name: 'orders' });
    const controller = new AbortController();
    void publishAll(queue, [1]);
    const waiting = rejectionOf(queue.publish('number', { n: 2 }, { signal: controller.signal }));
    controller.abort();
    await waiting;
    expect(logger.debugs).toEqual([expect.stringContaining('orders')]);
    expect([logger.warnings, logger.errors]).toEqual([[], []]);
  });

  it.each([1, 8])('contain a cancelled waiting next() at debug (prefetch %i)', async (prefetch) => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger, name: 'orders' });
    const payloads = full(queue.consume({ prefetch }));
    const pending = payloads.next();
    await payloads.return();
    await pending;
    expect(logger.debugs).toEqual([expect.stringContaining('orders')]);
    expect([logger.warnings, logger.errors]).toEqual([[], []]);
  });

  it.each<[string, (queue: MemoryBackend, signal: AbortSignal) => Promise<unknown>]>([
    ['join()', (queue, signal) => queue.join({ signal })],
    ['receive()', (queue, signal) => receive(queue, { signal })],
  ])('do not contain an aborted %s as a warning or an error', async (_, wait) => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger });
    new Holder(queue, { prefetch: 1 });
    void publishAll(queue, [1]);
    const controller = new AbortController();
    const waiting = outcomeOf(wait(queue, controller.signal));
    controller.abort('off');
    expect(await waiting).toEqual({ state: 'rejected', reason: 'off' });
    expect([logger.warnings, logger.errors]).toEqual([[], []]);
  });

  it('contain a second settlement at warn, with the queue and the id', async () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger, name: 'orders' });
    const holder = new Holder(queue);
    void publishAll(queue, [1]);
    await holder.of(1).ack();
    await holder.of(1).nack();
    expect(logger.warnings).toEqual([expect.stringContaining('orders')]);
    expect(logger.warnings[0]).toContain(holder.of(1).id);
    expect(logger.errors).toEqual([]);
  });

  it('contain an error of the given scheduler, which the caller receives, too', async () => {
    const boom = new Error('boom');
    const logger = recordingLogger();
    const scheduler = {
      now: () => 0,
      schedule: () => {
        throw boom;
      },
    };
    const queue = new MemoryBackend({ logger, scheduler });
    new Holder(queue);
    expect(await rejectionOf(queue.publish('number', { n: 1 }, { delay: 10 }))).toBe(boom);
    expect(logger.errors.length).toBe(1);
  });

  it('do not affect a redelivery after a second settlement', async () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: { debug() {}, warn() {}, error() {} } });
    const holder = new Holder(queue);
    void publishAll(queue, [1]);
    await holder.of(1).nack();
    expect(await holder.of(1).nack()).toBe(false);
    clock.advance();
    expect(holder.attempts).toEqual([
      [1, 1],
      [1, 2],
    ]);
  });
});

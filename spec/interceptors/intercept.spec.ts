import { firstValueFrom, of } from 'rxjs';
import {
  AsyncLoopConsumer,
  ConfigurationError,
  type Delivery,
  handle,
  intercept,
  MemoryBackend,
  type QueueBackend,
  type QueueInterceptor,
  UnsupportedOperationError,
} from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { stallWatch } from '../../src/bridge/stall-watch.js';
import { passThrough } from '../support/pass-through.js';
import { thrownBy, until } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';

describe('intercept', () => {
  it.each<[string, QueueInterceptor[]]>([
    ['no interceptors', []],
    ['interceptors without methods', [{}, {}]],
  ])('returns the queue itself for %s', (_, interceptors) => {
    const queue = new MemoryBackend();
    expect(intercept(queue, ...interceptors)).toBe(queue);
  });

  it('leaves what no interceptor touches as it is', () => {
    const queue = new MemoryBackend();
    const stream = jest.spyOn(queue, 'deliveries');
    const payloads = jest.spyOn(queue, 'consume');
    const publishing = intercept(queue, { publish: (message, next) => next(message) });
    expect(publishing.deliveries()).toBe(stream.mock.results[0]?.value);
    expect(publishing.consume()).toBe(payloads.mock.results[0]?.value);
    const delivering = intercept(queue, { deliver: (delivery) => delivery });
    expect(delivering.publish('key', {})).toBe(queue.publish('key', {}));
  });

  it('emits the same deliveries if it only passes them on', async () => {
    const fake = fakeBackend([['key', {}]]);
    const seen: Delivery[] = [];
    const note = (delivery: Delivery) => {
      seen.push(delivery);
      return delivery;
    };
    intercept(fake, passThrough, { deliver: note }).deliveries().subscribe(note);
    expect(seen).toHaveLength(2);
    expect(seen[1]).toBe(seen[0]);
  });

  it('has every member of the queue', async () => {
    const queue = new MemoryBackend({ name: 'orders', capacity: 10 });
    const intercepted = intercept(queue, passThrough);
    expect(intercepted).toBeInstanceOf(MemoryBackend);
    await intercepted.publish('key', { n: 1 });
    expect([intercepted.name, intercepted.size, intercepted.inFlight, intercepted.unfinished]).toEqual([
      'orders',
      1,
      0,
      1,
    ]);
    expect(await intercepted.stats()).toEqual({ ready: 1, unfinished: 1 });
    expect(await intercepted.peek()).toHaveLength(1);
    expect(await intercepted.groups()).toHaveLength(1);
    expect(await firstValueFrom(intercepted.unfinished$)).toBe(1);
    expect(await firstValueFrom(intercepted.status$)).toBe('connected');
    expect(intercepted.stats).toBe(intercepted.stats);
    expect(intercepted.clear()).toEqual([['key', { n: 1 }]]);
    await intercepted.join();
    await intercepted[Symbol.asyncDispose]();
    expect([intercepted.closed, queue.closed]).toEqual([true, true]);
  });

  it('has members that the queue gets later, and calls the current ones', async () => {
    const queue = fakeBackend() as QueueBackend & { later?: number };
    const intercepted = intercept(queue, passThrough);
    queue.later = 1;
    expect(intercepted.later).toBe(1);
    const stats = jest.spyOn(queue, 'stats').mockResolvedValue({ ready: 7, unfinished: 7 });
    expect(await intercepted.stats()).toEqual({ ready: 7, unfinished: 7 });
    const publish = jest.spyOn(queue, 'publish').mockResolvedValue();
    await intercepted.publish('key', {});
    expect([stats, publish].map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
  });

  it('wraps a plain object', async () => {
    const published: unknown[] = [];
    const plain = {
      name: 'plain',
      publish: async (...message: unknown[]) => void published.push(message),
      deliveries: () => of(),
      consume: () => [],
    };
    const intercepted = intercept(plain as unknown as QueueBackend, passThrough);
    await intercepted.publish('key', {});
    expect([intercepted.name, published]).toEqual(['plain', [['key', {}, undefined]]]);
    intercepted
      .deliveries()
      .pipe(handle(() => {}))
      .subscribe();
  });

  it('does not publish past its interceptors by tryPublish', () => {
    const queue = new MemoryBackend();
    const error = thrownBy(() => intercept(queue, passThrough).tryPublish('key', {}));
    expect(error).toBeInstanceOf(UnsupportedOperationError);
    expect((error as Error).message).toMatch(/Use `publish`/);
    expect(intercept(queue, { deliver: (delivery) => delivery }).tryPublish('key', {})).toBe(true);
    expect(queue.size).toBe(1);
  });

  it('refuses invalid options and undeclared groups at the call, like the queue', () => {
    const queue = intercept(new MemoryBackend({ groups: ['audit'] }), passThrough);
    for (const call of ['deliveries', 'consume'] as const) {
      expect(() => queue[call]()).toThrow(ConfigurationError);
      expect(() => queue[call]({ group: 'audit', prefetch: 0 })).toThrow(RangeError);
      expect(() => queue[call](null as never)).toThrow(TypeError);
    }
  });

  it('passes on options of a third-party queue that the contract does not have', () => {
    const fake = fakeBackend([['key', {}]]);
    const deliveries = jest.spyOn(fake, 'deliveries');
    const options = { group: 'audit', shard: 7 };
    intercept(fake, passThrough).deliveries(options).subscribe();
    expect(deliveries.mock.calls).toEqual([[options], [{ group: 'audit', shard: 7, prefetch: 32, signal: undefined }]]);
  });

  it('gives a stream its prefetch, and no deliveries after an aborted signal', async () => {
    const queue = intercept(new MemoryBackend(), passThrough);
    await queue.publish('key', {});
    expect([queue.deliveries().prefetch, queue.deliveries({ prefetch: 5 }).prefetch]).toEqual([32, 5]);
    const complete = jest.fn();
    queue.deliveries({ signal: AbortSignal.abort() }).subscribe({ complete });
    expect(complete).toHaveBeenCalledTimes(1);
    for await (const _ of queue.consume({ signal: AbortSignal.abort() })) throw new Error('unexpected');
  });

  it('warns of a subscriber that stalls, like the queue', async () => {
    const logger = recordingLogger();
    const queue = new MemoryBackend({ logger });
    const subscription = intercept(queue, passThrough).deliveries({ prefetch: 1 }).subscribe();
    await queue.publish('key', {});
    await queue.publish('key', {});
    for (let look = 0; look < 20; look++) stallWatch.look();
    subscription.unsubscribe();
    expect(logger.warnings).toEqual([expect.stringContaining('prefetch')]);
  });

  it('works for a dead-letter queue', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    const dead = fakeBackend();
    const marked = intercept(dead, {
      publish: (message, next) => next({ ...message, payload: { dead: message.payload } }),
    });
    const consumer = new AsyncLoopConsumer(queue, { deadLetter: marked, retry: { count: 0 }, logger: silentLogger });
    void consumer.run(() => Promise.reject(new Error('no')));
    await queue.publish('key', { n: 1 });
    await until(() => queue.unfinished === 0);
    expect(dead.published).toMatchObject([{ payload: { dead: { n: 1 } }, headers: { 'sluice-error': 'Error: no' } }]);
    await consumer.shutdown();
  });

  it.each<[string, unknown, string]>([
    ['undefined', undefined, 'Expected `queue` to be an object with a method `publish`, got undefined'],
    [
      'a queue without deliveries',
      { publish() {}, consume() {} },
      'Expected `queue` to be an object with a method `deliveries`',
    ],
  ])('refuses %s as a queue', (_, queue, message) => {
    const error = thrownBy(() => intercept(queue as QueueBackend, passThrough));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
  });

  it.each<[string, unknown, string]>([
    ['a function', () => {}, 'Expected `interceptors[1]` to be an interceptor, got a function'],
    ['null', null, 'Expected `interceptors[1]` to be an interceptor, got null'],
    ['a list', [passThrough], 'Expected `interceptors[1]` to be an interceptor, got an array'],
    [
      'a misspelt method',
      { publsh() {} },
      'Expected `interceptors[1]` to have a method `publish`, `deliver` or `process`, got an object with "publsh"',
    ],
    ['a method that is none', { deliver: true }, 'Expected `interceptors[1].deliver` to be a function, got true'],
  ])('refuses %s as an interceptor', (_, interceptor, message) => {
    const error = thrownBy(() => intercept(new MemoryBackend(), passThrough, interceptor as QueueInterceptor));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toContain(message);
  });
});

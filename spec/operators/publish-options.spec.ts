import { from, of, Subject } from 'rxjs';
import { MemoryBackend, type PublishArguments, type PublishOptions, publishTo, type QueueBackend } from 'sluice';
import { Holder } from '../support/consumers.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { CountingController, listenersOf } from '../support/signals.js';
import { VirtualClock } from '../support/virtual-clock.js';

/** A queue that records published messages and confirms nothing until its signal aborts. */
class SilentQueue implements Pick<QueueBackend, 'publish'> {
  readonly published: PublishArguments[] = [];

  publish(...message: PublishArguments): Promise<void> {
    this.published.push(message);
    const signal = message[2]?.signal;
    return new Promise((_, reject) => {
      if (signal?.aborted) reject(signal.reason);
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  }

  get signal(): AbortSignal {
    return this.published[0]?.[2]?.signal as AbortSignal;
  }
}

describe('Message options of publishTo', () => {
  it('reach the queue: headers and a delay', () => {
    const clock = new VirtualClock();
    const queue = new MemoryBackend({ scheduler: clock.scheduler, logger: silentLogger });
    const seen: number[] = [];
    from([1, 2])
      .pipe(
        publishTo(queue, (n) =>
          n === 1 ? ['number', { n }, { headers: { trace: 'abc' }, delay: 10 }] : ['number', { n }],
        ),
      )
      .subscribe((n) => seen.push(n));
    const holder = new Holder(queue);
    expect([seen, holder.numbers]).toEqual([[1, 2], [2]]);
    clock.advance(10);
    expect(holder.deliveries.map(({ headers }) => headers)).toEqual([{}, { trace: 'abc' }]);
  });

  it('reach the queue unchanged, beside a signal', () => {
    const queue = new SilentQueue();
    of(1)
      .pipe(publishTo(queue, () => ['key', {}, { group: 'billing', delay: 5 }]))
      .subscribe();
    expect(queue.published).toEqual([['key', {}, { group: 'billing', delay: 5, signal: expect.any(AbortSignal) }]]);
  });

  it('may be undefined', () => {
    const queue = new SilentQueue();
    of(1)
      .pipe(publishTo(queue, () => ['key', {}, undefined] as unknown as PublishArguments))
      .subscribe();
    expect(queue.published).toEqual([['key', {}, { signal: expect.any(AbortSignal) }]]);
  });
});

describe('Message signal of publishTo', () => {
  it('aborts the publish and ends the stream with its reason', async () => {
    const queue = new SilentQueue();
    const controller = new CountingController();
    let error: unknown;
    of(1)
      .pipe(publishTo(queue, () => ['key', {}, { signal: controller.signal }]))
      .subscribe({ error: (thrown) => (error = thrown) });
    const reason = new Error('too late');
    controller.abort(reason);
    await turns();
    expect(error).toBe(reason);
  });

  it('aborts the publish immediately if it is already aborted', async () => {
    const queue = new MemoryBackend({ logger: silentLogger });
    let error: unknown;
    of(1)
      .pipe(publishTo(queue, () => ['key', {}, { signal: AbortSignal.abort('too late') }]))
      .subscribe({ error: (thrown) => (error = thrown) });
    await turns();
    expect([error, queue.size]).toEqual(['too late', 0]);
  });

  it('does not replace the signal of the subscription', () => {
    const queue = new SilentQueue();
    const controller = new CountingController();
    const subscription = of(1)
      .pipe(publishTo(queue, () => ['key', {}, { signal: controller.signal }]))
      .subscribe();
    expect(queue.signal.aborted).toBe(false);
    subscription.unsubscribe();
    expect(queue.signal.aborted).toBe(true);
  });

  it('keeps no listener once its message is published, rejected or aborted', async () => {
    const controller = new CountingController();
    const { signal } = controller;
    const entry = (): [string, object, PublishOptions] => ['key', {}, { signal }];
    const memory = new MemoryBackend({ scheduler: new VirtualClock().scheduler, logger: silentLogger });
    const seen: number[] = [];
    from([1, 2, 3])
      .pipe(publishTo(memory, entry))
      .subscribe((n) => seen.push(n));
    expect([seen, listenersOf(signal)]).toEqual([[1, 2, 3], 0]);
    of(1)
      .pipe(publishTo({ publish: () => Promise.reject(new Error('refused')) }, entry))
      .subscribe({ error() {} });
    of(1)
      .pipe(
        publishTo(
          {
            publish() {
              throw new Error('refused');
            },
          },
          entry,
        ),
      )
      .subscribe({ error() {} });
    await turns();
    expect(listenersOf(signal)).toBe(0);
    const source = new Subject<number>();
    const subscription = source.pipe(publishTo(new SilentQueue(), entry)).subscribe();
    source.next(1);
    expect(listenersOf(signal)).toBe(1);
    subscription.unsubscribe();
    await turns();
    expect(listenersOf(signal)).toBe(0);
  });
});

describe('An invalid entry', () => {
  it.each<[string, unknown, RegExp]>([
    ['with options that are not an object', ['key', {}, 'delay'], /`options` .*to be an object, got "delay"/],
    ['with options that are null', ['key', {}, null], /`options` .*to be an object, got null/],
    ['with a fourth part', ['key', {}, {}, {}], /\[key, payload, options\], got an array of 4/],
    ['with a key alone', ['key'], /\[key, payload\] or \[key, payload, options\], got an array of 1/],
    ['with an invalid signal', ['key', {}, { signal: 'stop' }], /`signal` to be an AbortSignal, got "stop"/],
  ])('%s ends the stream of publishTo with a TypeError and publishes nothing', async (_, entry, message) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    let error: unknown;
    of(1)
      .pipe(publishTo(queue, () => entry as PublishArguments))
      .subscribe({ error: (thrown) => (error = thrown) });
    await turns();
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toMatch(message);
    expect(queue.size).toBe(0);
  });
});

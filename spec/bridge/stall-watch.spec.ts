import { debounceTime, filter, NEVER, type Observable, type OperatorFunction } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import {
  AsyncLoopConsumer,
  type Delivery,
  filterDeliveries,
  handle,
  inBatches,
  type Logger,
  MemoryBackend,
  receive,
} from 'sluice';
import { StallWatch, stallWatch } from '../../src/bridge/stall-watch.js';
import { Holder, publishAll, upTo } from '../support/consumers.js';
import { survivors } from '../support/memory.js';
import { turns } from '../support/promises.js';
import { silentLogger } from '../support/recording-logger.js';
import { runScript } from '../support/run-script.js';

/** Runs the checks of this many seconds. */
function pass(seconds: number): void {
  for (let second = 0; second < seconds; second += 5) stallWatch.look();
}

function setUp(messages: number) {
  const warnings: [message: string, details: unknown][] = [];
  const logger: Logger = { ...silentLogger, warn: (message, ...details) => void warnings.push([message, details]) };
  const queue = new MemoryBackend({ name: 'orders', groups: ['billing'], logger });
  void publishAll(queue, upTo(messages));
  return { queue, warnings, logger };
}

describe('StallWatch', () => {
  it('has one timer while there are subscribers', () => {
    const { queue } = setUp(0);
    expect(stallWatch.size).toBe(0);
    const [one, two] = [new Holder(queue, { group: 'billing' }), new Holder(queue, { group: 'billing' })];
    const signalled = new AbortController();
    new Holder(queue, { group: 'billing', signal: signalled.signal });
    const closed = new MemoryBackend();
    new Holder(closed);
    expect(stallWatch.size).toBe(4);
    one.subscription.unsubscribe();
    signalled.abort();
    void closed.close();
    expect(stallWatch.size).toBe(1);
    two.subscription.unsubscribe();
    expect(stallWatch.size).toBe(0);
  });

  it('checks by itself, with one interval that ends with the last subscriber', async () => {
    const intervals: (() => void)[] = [];
    let ended = 0;
    const watch = new StallWatch((task) => {
      intervals.push(task);
      return () => void ended++;
    });
    const seen: string[] = [];
    const check = (name: string) => ({ look: () => void seen.push(name) });
    const [one, two] = [check('one'), check('two')];
    const references = [watch.add(one), watch.add(two)] as const;
    expect([intervals.length, ended, watch.size]).toEqual([1, 0, 2]);
    intervals[0]?.();
    expect(seen).toEqual(['one', 'two']);
    watch.remove(references[0]);
    watch.remove(references[0]);
    expect([ended, watch.size]).toEqual([0, 1]);
    watch.remove(references[1]);
    expect([ended, watch.size]).toEqual([1, 0]);
    watch.add(one);
    expect([intervals.length, ended]).toEqual([2, 1]);
  });

  it('has no timer in virtual time, and none that fake timers see', () => {
    expect(stallWatch.size).toBe(0);
    new TestScheduler(() => {}).run(() => {
      new Holder(new MemoryBackend());
      expect(stallWatch.size).toBe(0);
    });
    jest.useFakeTimers();
    try {
      const { subscription } = new Holder(new MemoryBackend());
      expect([stallWatch.size, jest.getTimerCount()]).toEqual([1, 0]);
      subscription.unsubscribe();
    } finally {
      jest.useRealTimers();
    }
  });

  it('uses no timers that a test replaced before the library was loaded', async () => {
    jest.useFakeTimers();
    try {
      await jest.isolateModulesAsync(async () => {
        const { stallWatch: loadedLate } = await import('../../src/bridge/stall-watch.js');
        expect(loadedLate).not.toBe(stallWatch);
        loadedLate.add({ look() {} });
        expect(jest.getTimerCount()).toBe(0);
      });
    } finally {
      jest.useRealTimers();
    }
  });

  it('retains no queue that the program has dropped', async () => {
    const before = stallWatch.size;
    const dropped = upTo(50).map(() => {
      const queue = new MemoryBackend();
      new Holder(queue, { prefetch: 1 });
      void publishAll(queue, [1]);
      return new WeakRef(queue);
    });
    stallWatch.look();
    expect(stallWatch.size).toBe(before + 50);
    expect(await survivors(dropped)).toBeLessThan(5);
    stallWatch.look();
    expect(stallWatch.size).toBeLessThan(before + 5);
  });

  it('checks every 5 seconds of real time', async () => {
    const faster =
      'const { setInterval: real, clearInterval: end } = globalThis; globalThis.setInterval = (task, ms) => real(task, ms / 1000);';
    const script = `
      const { MemoryBackend } = sluice;
      // Referenced here, because the watch holds a queue weakly.
      globalThis.queue = new MemoryBackend({ name: 'orders', logger: { ...console, warn: (...said) => warn(...said) } });
      const alive = real(() => {}, 1000);
      const warn = (message, details) => {
        console.log(message.includes('settled nothing'), JSON.stringify(details));
        end(alive);
      };
      queue.deliveries({ prefetch: 1 }).subscribe();
      await queue.publish('k', {});
    `;
    const output = 'true {"queue":"orders","group":"default","prefetch":1}';
    expect(await runScript(script, faster)).toEqual({ exit: 0, output });
  });

  it('does not keep a process alive', async () => {
    const script = `
      const { MemoryBackend } = sluice;
      globalThis.queue = new MemoryBackend();
      queue.deliveries({ prefetch: 1 }).subscribe();
      await queue.publish('k', {});
      console.log('end of script');
    `;
    expect(await runScript(script)).toEqual({ exit: 0, output: 'end of script' });
  });
});

describe('A subscriber that uses up its credit', () => {
  it('and settles nothing for 60 seconds is logged once', () => {
    const { queue, warnings } = setUp(100);
    new Holder(queue, { group: 'billing', prefetch: 10 });
    pass(60);
    expect(warnings).toEqual([]);
    pass(5);
    expect(warnings).toEqual([[expect.any(String), [{ queue: 'orders', group: 'billing', prefetch: 10 }]]]);
    const [[message] = ['']] = warnings;
    for (const part of [
      '"orders"',
      '"billing"',
      '10',
      '60 s',
      'filter',
      'debounceTime',
      'switchMap',
      'window',
      'filterDeliveries',
    ]) {
      expect(message).toContain(part);
    }
    expect(message).not.toContain('\n');
    pass(600);
    expect(warnings.length).toBe(1);
  });

  it.each<[string, OperatorFunction<Delivery, unknown>]>([
    ['filter', filter(() => false)],
    [
      'filter before handle',
      (source: Observable<Delivery>) =>
        source.pipe(
          filter(() => false),
          handle(() => {}),
        ),
    ],
    ['debounceTime', debounceTime(3_600_000)],
    ['a batch larger than the prefetch', inBatches({ maxSize: 20, maxWait: 3_600_000, logger: silentLogger })],
  ])('because %s dropped or collected messages is logged', (_name, operator) => {
    const { queue, warnings } = setUp(100);
    const subscription = queue.deliveries({ group: 'billing', prefetch: 10 }).pipe(operator).subscribe();
    pass(65);
    expect(warnings.length).toBe(1);
    subscription.unsubscribe();
  });

  it('and settles a message sometimes is not logged', () => {
    const { queue, warnings } = setUp(100);
    const holder = new Holder(queue, { group: 'billing', prefetch: 10 });
    for (const _ of upTo(20)) {
      pass(55);
      void holder.held.at(-1)?.ack();
    }
    expect(warnings).toEqual([]);
    pass(65);
    expect(warnings.length).toBe(1);
  });

  it('and receives its message again is not logged', async () => {
    const { queue, warnings } = setUp(1);
    const holder = new Holder(queue, { group: 'billing', prefetch: 1 });
    for (const _ of upTo(3)) {
      pass(55);
      void holder.held[0]?.release();
      await turns();
    }
    expect(warnings).toEqual([]);
  });

  it('except for one message is not logged', () => {
    const { queue, warnings } = setUp(9);
    new Holder(queue, { group: 'billing', prefetch: 10 });
    pass(600);
    expect(warnings).toEqual([]);
  });

  it('and is stopped by its signal is not logged', () => {
    const { queue, warnings } = setUp(10);
    const intake = new AbortController();
    new Holder(queue, { group: 'billing', prefetch: 10, signal: intake.signal });
    intake.abort();
    pass(600);
    expect(warnings).toEqual([]);
  });

  it('is not logged while `handle` runs handlers, which settle their messages', async () => {
    const { queue, warnings, logger } = setUp(100);
    const deliveries = queue.deliveries({ group: 'billing', prefetch: 4 });
    deliveries.pipe(handle(() => NEVER, { concurrency: 4, logger })).subscribe();
    deliveries
      .pipe(
        filterDeliveries(() => true),
        handle(() => NEVER, { concurrency: 4, logger }),
      )
      .subscribe();
    void new AsyncLoopConsumer(queue, { group: 'billing', prefetch: 4, logger }).run(() => new Promise(() => {}));
    void new AsyncLoopConsumer(queue, { group: 'billing', logger }).run(() => new Promise(() => {}));
    await turns();
    expect(queue.inFlight).toBeGreaterThan(10);
    pass(600);
    expect(warnings).toEqual([]);
  });

  it('is not logged while a loop body or the caller of receive() processes a message', async () => {
    const { queue, warnings } = setUp(100);
    await queue.deliveries({ group: 'billing' })[Symbol.asyncIterator]().next();
    await queue.deliveries({ group: 'billing', prefetch: 5 })[Symbol.asyncIterator]().next();
    await queue.consume({ group: 'billing' }).next();
    await queue.consume({ group: 'billing', prefetch: 5 }).next();
    await receive(queue, { group: 'billing' });
    expect(queue.inFlight).toBe(13);
    pass(600);
    expect(warnings).toEqual([]);
  });

  it('and unsubscribes is not logged', () => {
    const { queue, warnings } = setUp(100);
    const { subscription } = new Holder(queue, { group: 'billing', prefetch: 10 });
    pass(30);
    subscription.unsubscribe();
    pass(600);
    expect(warnings).toEqual([]);
  });
});

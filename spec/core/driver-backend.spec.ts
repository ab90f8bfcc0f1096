import { repeat } from 'rxjs';
import { receive } from '../../src/bridge/receive.js';
import { stallWatch } from '../../src/bridge/stall-watch.js';
import { DriverBackend } from '../../src/core/driver-backend.js';
import { checkDriverOptions } from '../../src/core/options.js';
import {
  BackendUnavailableError,
  ConfigurationError,
  InvalidMessageError,
  QueueClosedError,
} from '../../src/errors.js';
import { drain, Holder } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, thrownBy, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { listenersOf } from '../support/signals.js';
import { FakeDriver, never } from './fake-driver.js';
import { Abort, fakeTime, pass } from './fakes.js';

class FakeBackend extends DriverBackend {}

const CLOSED = new QueueClosedError('Queue "orders" is closed');

let broker: FakeDriver;
let queue: FakeBackend;
const logger = recordingLogger();

beforeEach(() => {
  fakeTime();
  broker = new FakeDriver();
  queue = new FakeBackend(
    checkDriverOptions({ name: 'orders', groups: ['default', 'audit'], publishTimeout: 500, logger }),
    broker,
  );
});

afterEach(() => jest.useRealTimers());

describe('DriverBackend', () => {
  it('sends nothing to the engine before first use', () => {
    expect(queue.name).toBe('orders');
    queue.deliveries();
    queue.consume();
    expect(broker.told).toEqual([]);
  });

  it('publishes the checked message', async () => {
    await queue.publish('key', { n: 1, none: undefined }, { delay: 5 });
    expect(broker.published).toEqual([{ key: 'key', payload: { n: 1 }, headers: {}, delay: 5, signal: undefined }]);
    expect(await rejectionOf(queue.publish('', {}))).toBeInstanceOf(InvalidMessageError);
    expect(await rejectionOf(queue.publish('key', {}, { delay: -1 }))).toBeInstanceOf(RangeError);
    expect(broker.published.length).toBe(1);
  });

  it('publishes for one group', async () => {
    await queue.publish('key', {}, { group: 'audit' });
    expect(broker.published).toMatchObject([{ key: 'key', group: 'audit' }]);
    expect(String(await rejectionOf(queue.publish('key', {}, { group: '' })))).toMatch(/RangeError: .*`group`/);
  });

  it('refuses an undeclared group synchronously, and sends nothing', async () => {
    const late = { group: 'late' };
    const errors = [
      thrownBy(() => queue.deliveries(late)),
      thrownBy(() => queue.consume(late)),
      await rejectionOf(receive(queue, late)),
      await rejectionOf(queue.stats(late)),
      await rejectionOf(queue.publish('key', {}, late)),
    ];
    const message =
      'Group "late" of queue "orders" is not declared; declared: "default", "audit". ' +
      'Add it to the `groups` option or to QUEUE_GROUPS, in every process that uses this queue.';
    expect(errors).toEqual(errors.map(() => new ConfigurationError(message)));
    expect([broker.told, broker.published]).toEqual([[], []]);
  });

  it('has one consumer per group, shared by all subscribers', async () => {
    const holders = [new Holder(queue, { prefetch: 1 }), new Holder(queue), new Holder(queue, { group: 'audit' })];
    const next = queue.consume({ group: 'audit' }).next();
    expect(broker.told).toEqual(['create default', 'create audit']);
    for (let n = 1; n <= 3; n++) broker.deliver('default', n);
    for (let n = 1; n <= 2; n++) broker.deliver('audit', n);
    expect(holders.map(({ numbers }) => numbers)).toEqual([[1], [2, 3], [1]]);
    expect(await next).toEqual({ done: false, value: { n: 2 } });
  });

  it('warns of a subscriber that stalls, but not of a loop', async () => {
    const holder = new Holder(queue, { prefetch: 2 });
    const iterators = [queue.consume(), queue.deliveries()[Symbol.asyncIterator]()];
    const handed = iterators.map((iterator) => iterator.next());
    for (let n = 1; n <= 4; n++) broker.deliver('default', n);
    await Promise.all(handed);
    for (let n = 1; n <= 13; n++) stallWatch.look();
    expect(broker.logger.warnings).toEqual([expect.stringContaining('`prefetch` of 2 and settled nothing')]);
    holder.subscription.unsubscribe();
  });

  it('sends nothing if the signal is aborted', async () => {
    const signal = AbortSignal.abort('early');
    const holder = new Holder(queue, { signal });
    expect([
      holder.completed,
      await drain(queue.consume({ signal })),
      await drain(queue.deliveries({ signal })),
    ]).toEqual([true, [], []]);
    expect([broker.told, listenersOf(signal)]).toEqual([[], 0]);
  });

  it('stops delivering on an abort, and leaves no listener', async () => {
    const { abort, signal } = new Abort();
    const holder = new Holder(queue, { signal });
    broker.deliver('default', 1);
    abort();
    broker.deliver('default', 2);
    expect([holder.numbers, holder.completed, listenersOf(signal)]).toEqual([[1], false, 0]);
    await holder.of(1).ack();
    expect(holder.completed).toBe(true);
  });
});

describe('stats() of a DriverBackend', () => {
  it('counts after all earlier settlements', async () => {
    new Holder(queue);
    new Holder(queue, { group: 'audit' });
    broker.told.length = 0;
    expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 1, unfinished: 2 });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 2 });
    expect(broker.told).toEqual([
      'settled default',
      'settled audit',
      'count audit',
      'settled default',
      'settled audit',
      'count all',
    ]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it.each(['settled', 'count'] as const)(
    'rejects if the broker takes longer than `publishTimeout` (%s)',
    async (step) => {
      new Holder(queue);
      broker[step] = () => never;
      const stats = queue.stats();
      await pass(499);
      expect(await stateOf(stats)).toBe('pending');
      await pass(1);
      const error = await rejectionOf(stats);
      expect(error).toEqual(
        new BackendUnavailableError(
          'Broker did not answer within 500 ms ("unplugged") (queue "orders", Broker at somewhere)',
        ),
      );
      expect([(error as BackendUnavailableError).retryable, jest.getTimerCount()]).toEqual([true, 0]);
    },
  );

  it.each(['settled', 'count'] as const)(
    'aborts the signal that it passed to the broker when it gives up, not before (%s)',
    async (step) => {
      new Holder(queue);
      let answer = () => {};
      const answered = new Promise<void>((resolve) => {
        answer = resolve;
      });
      const signals: AbortSignal[] = [];
      broker.settled = async () => void (step === 'settled' && (await answered));
      broker.count = async (_, signal) => {
        signals.push(signal);
        await answered;
        return { ready: 1, unfinished: 2 };
      };
      const stats = queue.stats();
      await pass(499);
      expect(signals.map(({ aborted }) => aborted)).toEqual(step === 'count' ? [false] : []);
      await pass(1);
      const error = await rejectionOf(stats);
      answer();
      await turns();
      expect(signals.map(({ aborted, reason }) => [aborted, reason])).toEqual([[true, error]]);
    },
  );

  it('does not abort the signal after a response in time', async () => {
    let given: AbortSignal | undefined;
    broker.count = async (_, signal) => {
      given = signal;
      return { ready: 1, unfinished: 2 };
    };
    await queue.stats();
    await pass(1000);
    expect(given?.aborted).toBe(false);
  });

  it('rejects with errors of this library', async () => {
    broker.count = () => Promise.reject(new Error('odd'));
    expect(await rejectionOf(queue.stats())).toEqual(
      new BackendUnavailableError('Broker cannot be used: Error: odd (queue "orders", Broker at somewhere)'),
    );
    expect(String(await rejectionOf(queue.stats({ group: '' })))).toMatch(/RangeError: .*`group`/);
    expect(jest.getTimerCount()).toBe(0);
  });
});

describe('close() of a DriverBackend', () => {
  it('ends the streams, waits until the consumers have left, and then closes the connections', async () => {
    const holder = new Holder(queue);
    broker.deliver('default', 1);
    broker.told.length = 0;
    await queue.close();
    expect([holder.completed, holder.of(1).settled]).toEqual([true, 'retried']);
    // Consumers close first: a requeue with a delay may publish a message.
    expect(broker.told).toEqual([
      'close default',
      'publisher.close',
      'shutDown',
      'publisher.abandon',
      'abandon default',
      'close',
    ]);
    expect(jest.getTimerCount()).toBe(0);
  });

  it('runs once', async () => {
    const closed = [queue.close(), queue.close(), queue[Symbol.asyncDispose]()];
    await Promise.all(closed);
    await queue.close();
    expect(broker.told).toEqual(['publisher.close', 'shutDown', 'publisher.abandon', 'close']);
  });

  it('refuses later calls', async () => {
    const closed = queue.close();
    expect([await rejectionOf(queue.publish('key', {})), await rejectionOf(queue.stats())]).toEqual([CLOSED, CLOSED]);
    await closed;
    expect([await rejectionOf(queue.publish('key', {})), await rejectionOf(queue.stats())]).toEqual([CLOSED, CLOSED]);
    expect([new Holder(queue).completed, await drain(queue.consume())]).toEqual([true, []]);
    expect([broker.published, broker.told]).toEqual([
      [],
      ['publisher.close', 'shutDown', 'publisher.abandon', 'close'],
    ]);
  });

  it('runs once if the end of a stream calls it again, and refuses a publish then', async () => {
    const answers: Promise<unknown>[] = [];
    queue.deliveries().subscribe({ complete: () => answers.push(queue.close(), outcomeOf(queue.publish('key', {}))) });
    await queue.close();
    expect(broker.told.filter((call) => /close$/.test(call))).toEqual(['publisher.close', 'close']);
    expect([await Promise.all(answers), broker.published]).toEqual([
      [undefined, { state: 'rejected', reason: CLOSED }],
      [],
    ]);
  });

  it('ends a stream that resubscribes on its end', async () => {
    let completed = false;
    const subscription = queue
      .deliveries()
      .pipe(repeat({ count: 3 }))
      .subscribe({
        complete: () => {
          completed = true;
        },
      });
    await queue.close();
    expect([completed, subscription.closed]).toEqual([true, true]);
  });

  it.each(['closeResult', 'shutDownResult'] as const)(
    'takes five seconds if the broker does not answer (%s)',
    async (step) => {
      new Holder(queue);
      broker[step] = () => never;
      const closed = queue.close();
      await pass(4999);
      expect(await stateOf(closed)).toBe('pending');
      await pass(1);
      expect(await stateOf(closed)).toBe('fulfilled');
      expect(broker.told.slice(-3)).toEqual(['publisher.abandon', 'abandon default', 'close']);
      expect(jest.getTimerCount()).toBe(0);
    },
  );

  it('takes at most five seconds in total', async () => {
    broker.closeResult = () => new Promise((resolve) => setTimeout(resolve, 3000));
    broker.shutDownResult = () => never;
    const closed = queue.close();
    await pass(5000);
    expect(await stateOf(closed)).toBe('fulfilled');
  });

  it.each(['closeResult', 'shutDownResult'] as const)(
    'closes the connections even if the shutdown fails (%s)',
    async (step) => {
      new Holder(queue);
      broker[step] = () => Promise.reject(new Error('odd'));
      await queue.close().catch(() => {});
      expect(broker.told.slice(-3)).toEqual(['publisher.abandon', 'abandon default', 'close']);
      expect(jest.getTimerCount()).toBe(0);
    },
  );

  it('logs the number of pending calls of a loop that returns', async () => {
    const loop = queue.consume();
    const waits = [loop.next(), loop.next()];
    await turns(1);
    await loop.return?.();
    expect(await Promise.all(waits)).toEqual(waits.map(() => ({ done: true, value: undefined })));
    expect(logger.debugs).toEqual(['A consumer of queue "orders" left while 2 of its calls waited for a message']);
  });
});

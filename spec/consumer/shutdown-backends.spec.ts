import { map, merge, NEVER, type Observable, of, Subject } from 'rxjs';
import { AsyncLoopConsumer, type Delivery, type DeliveryStream } from 'sluice';
import { ChangedQueue } from '../support/changed-queue.js';
import { Holder, numberOf, publishAll, upTo } from '../support/consumers.js';
import { outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';
import { recordingLogger, silentLogger } from '../support/recording-logger.js';
import { VirtualClock } from '../support/virtual-clock.js';

function setUp(change: (stream: DeliveryStream) => Observable<Delivery>, concurrency = 1) {
  const clock = new VirtualClock();
  const { scheduler } = clock;
  const logger = recordingLogger();
  const queue = new ChangedQueue({ scheduler, logger: silentLogger }, change);
  const consumer = new AsyncLoopConsumer(queue, { scheduler, logger, concurrency });
  const statuses: unknown[] = [];
  consumer.outcomes$.subscribe(({ delivery, status }) => statuses.push([numberOf(delivery.payload), status]));
  return { clock, queue, consumer, logger, statuses };
}

/** A delivery whose ack is confirmed when the test resolves it. */
function confirmedBy(delivery: Delivery, confirmations: (() => void)[]): Delivery {
  return new Proxy(delivery, {
    get: (_, name) => {
      if (name !== 'ack') return Reflect.get(delivery, name, delivery);
      return async () => {
        await new Promise<void>((resolve) => confirmations.push(resolve));
        return delivery.ack();
      };
    },
  });
}

describe('AsyncLoopConsumer.shutdown on a slow backend', () => {
  it('waits for the acks of finished handlers', async () => {
    const confirmations: (() => void)[] = [];
    const { queue, consumer, statuses } = setUp((stream) =>
      stream.pipe(map((delivery) => confirmedBy(delivery, confirmations))),
    );
    void publishAll(queue, [1]);
    const running = consumer.run(() => {});
    const stopped = consumer.shutdown();
    expect([await stateOf(running), await stateOf(stopped), statuses.length]).toEqual(['pending', 'pending', 0]);
    confirmations[0]?.();
    await Promise.all([running, stopped]);
    expect(statuses).toEqual([[1, 'acked']]);
    expect(queue.unfinished).toBe(0);
  });

  it('waits no longer than its timeout for an ack', async () => {
    const { clock, queue, consumer } = setUp((stream) => stream.pipe(map((delivery) => confirmedBy(delivery, []))));
    void publishAll(queue, [1]);
    const running = consumer.run(() => {});
    const stopped = consumer.shutdown({ timeout: 100 });
    clock.advance(100);
    await Promise.all([running, stopped]);
    expect([queue.size, clock.timers]).toEqual([1, 0]);
  });

  it('releases messages that a source emits within subscribe after the call', async () => {
    const released: number[] = [];
    const fake = (n: number) =>
      ({
        key: 'k',
        payload: { n },
        attempt: 1,
        settled: false,
        ack: async () => true,
        release: async () => released.push(n) > 0,
      }) as unknown as Delivery;
    const { consumer, statuses } = setUp(() => merge(of(...upTo(3).map(fake)), NEVER));
    let finish = () => {};
    const running = consumer.run(() => {
      void consumer.shutdown();
      return new Promise<void>((resolve) => (finish = resolve));
    });
    await turns();
    expect(released).toEqual([]);
    finish();
    await running;
    expect(released).toEqual([2, 3]);
    expect(statuses.toSorted()).toEqual([
      [1, 'acked'],
      [2, 'released'],
      [3, 'released'],
    ]);
  });
});

describe('AsyncLoopConsumer.shutdown on a backend that fails or ends meanwhile', () => {
  function failingLater() {
    const end = new Subject<Delivery>();
    let finish = () => {};
    const handler = () => new Promise<void>((resolve) => (finish = resolve));
    return { end, handler, finish: () => finish(), ...setUp((stream) => merge(stream, end)) };
  }

  it('resolves when the running handler has finished, and run rejects', async () => {
    const { end, handler, finish, queue, consumer } = failingLater();
    void publishAll(queue, upTo(2));
    const running = consumer.run(handler);
    running.catch(() => {});
    const stopped = consumer.shutdown();
    end.error(new Error('connection lost'));
    expect([await stateOf(running), await stateOf(stopped)]).toEqual(['pending', 'pending']);
    finish();
    expect(await outcomeOf(stopped)).toMatchObject({ state: 'fulfilled' });
    expect(await rejectionOf(running)).toMatchObject({ message: 'connection lost' });
    expect(new Holder(queue).numbers).toContain(2);
    // The consumer has stopped, so this is another run.
    const handled: number[] = [];
    void consumer.run((payload) => void handled.push(numberOf(payload))).catch(() => {});
  });

  it('resolves, like run, when the queue closes', async () => {
    const { handler, finish, queue, consumer } = failingLater();
    void publishAll(queue, [1]);
    const running = consumer.run(handler);
    const stopped = consumer.shutdown();
    await queue.close();
    expect([await stateOf(running), await stateOf(stopped)]).toEqual(['pending', 'pending']);
    finish();
    await Promise.all([running, stopped]);
    expect(queue.unfinished).toBe(0);
  });
});

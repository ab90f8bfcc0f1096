import { of, Subject } from 'rxjs';
import type { Delivery, HandleOptions, Settlement } from 'sluice';
import { upTo } from '../support/consumers.js';
import { type Deferred, deferred, FakeDelivery, Handled, type Method, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';
import { VirtualClock } from '../support/virtual-clock.js';

const BROKEN = new Error('connection lost');

/** Handles deliveries whose settlements the test confirms by number. */
function setUp(handler: TestHandler, options: HandleOptions = {}) {
  const clock = new VirtualClock();
  const source = new Subject<Delivery>();
  const answers = new Map<number, Deferred<boolean>>();
  const handled = new Handled(source, handler, { scheduler: clock.scheduler, ...options });
  const deliver = (n: number, about?: { attempt?: number; key?: string }) => {
    const delivery = new FakeDelivery(
      n,
      () => {
        const answer = deferred<boolean>();
        answers.set(n, answer);
        return answer.promise;
      },
      about,
    );
    source.next(delivery);
    return delivery;
  };
  const answer = async (n: number, counted: boolean | Error) => {
    if (typeof counted === 'boolean') answers.get(n)?.resolve(counted);
    else answers.get(n)?.reject(counted);
    await turns();
  };
  return { clock, source, handled, deliver, answer };
}

const fail = () => {
  throw new Error('boom');
};

describe('handle with a backend that confirms later', () => {
  it.each<[string, TestHandler]>([
    ['a value', () => 'done'],
    ['a promise', async () => 'done'],
  ])('emits and reports %s once its ack is confirmed', async (_, handler) => {
    const { handled, deliver, answer } = setUp(handler);
    const delivery = deliver(1);
    await turns();
    expect([delivery.calls, handled.values, handled.outcomes]).toEqual([['ack'], [], []]);
    await answer(1, true);
    expect([handled.values, handled.statuses]).toEqual([['done'], ['1#1 acked']]);
  });

  it('emits nothing if the ack did not count', async () => {
    const { handled, deliver, answer } = setUp(() => 'done');
    const delivery = deliver(1);
    delivery.settled = 'retried';
    await answer(1, false);
    expect(handled.values).toEqual([]);
    expect(handled.outcomes.length).toBe(1);
    expect(handled.outcomes[0]?.status).not.toBe('dead-lettered');
  });

  it('reports "retried" if the ack did not count because another consumer has the message', async () => {
    const source = new Subject<Delivery>();
    const handled = new Handled(source, () => 'done');
    const delivery = new FakeDelivery(1, async () => {
      delivery.settled = 'retried';
      return false;
    });
    source.next(delivery);
    delivery.settled = false as Settlement;
    await turns();
    expect(handled.values).toEqual([]);
    expect(handled.outcomes.map(({ status }) => status)).toEqual(['retried']);
  });

  it.each<[string, (method: Method) => Promise<boolean>]>([
    ['rejects', () => Promise.reject(BROKEN)],
    [
      'throws',
      () => {
        throw BROKEN;
      },
    ],
  ])('emits nothing if the ack %s, logs it and continues', async (_, answer) => {
    const handled = new Handled(of(new FakeDelivery(1, answer), new FakeDelivery(2)), (delivery) => delivery.id);
    await turns();
    expect(handled.values).toEqual(['fake-2']);
    expect(handled.completed).toBe(true);
    expect(handled.outcomes.map(({ status }) => status).sort()).toEqual(['acked', 'retried']);
    expect(handled.outcomes.find(({ status }) => status === 'retried')).toMatchObject({ error: BROKEN });
    expect(handled.logger.errors).toEqual([expect.stringMatching(/number.*attempt 1.*connection lost/)]);
  });

  it.each<[Method, HandleOptions]>([
    ['nack', { retry: { count: 1 } }],
    ['reject', { retry: { count: 0 } }],
    ['ack', { retry: { count: 0 }, deadLetter: () => {} }],
  ])('waits for the confirm of %s before it reports and completes', async (method, options) => {
    const { handled, source, deliver, answer } = setUp(fail, options);
    const delivery = deliver(1);
    source.complete();
    await turns();
    expect([delivery.calls, handled.outcomes, handled.completed]).toEqual([[method], [], false]);
    await answer(1, true);
    expect([handled.outcomes.length, handled.completed]).toEqual([1, true]);
  });

  it.each<[Method, HandleOptions]>([
    ['nack', { retry: { count: 1 } }],
    ['reject', { retry: { count: 0 } }],
    ['ack', { retry: { count: 0 }, deadLetter: () => {} }],
  ])("continues if %s fails, and reports the handler's error", async (method, options) => {
    const throws = (): Promise<boolean> => {
      throw BROKEN;
    };
    for (const how of [() => Promise.reject(BROKEN), throws]) {
      const [bad, good] = [new FakeDelivery(1, how), new FakeDelivery(2)];
      const handled = new Handled(of(bad, good), fail, options);
      await turns();
      expect([bad.calls, good.calls, handled.completed, handled.outcomes.length]).toEqual([
        [method],
        [method],
        true,
        2,
      ]);
      expect(handled.outcomes.every(({ error }) => (error as Error).message === 'boom')).toBe(true);
      expect(handled.logger.errors.some((message) => message.includes('connection lost'))).toBe(true);
    }
  });

  it('completes when the last settlement is confirmed', async () => {
    const { handled, source, deliver, answer } = setUp(() => 'done', { concurrency: 2 });
    deliver(1);
    deliver(2);
    source.complete();
    await answer(2, true);
    expect([handled.values.length, handled.completed]).toEqual([1, false]);
    await answer(1, true);
    expect([handled.values.length, handled.completed]).toEqual([2, true]);
  });

  it('ends with the error of its source once the last settlement is confirmed', async () => {
    const { handled, source, deliver, answer } = setUp(() => 'done');
    deliver(1);
    source.error(BROKEN);
    await turns();
    expect(handled.error).toBeUndefined();
    await answer(1, true);
    expect([handled.values, handled.error]).toEqual([['done'], BROKEN]);
  });

  it('frees its slot, whatever the confirms are', async () => {
    const answers: (() => Promise<boolean>)[] = [
      async () => true,
      async () => false,
      () => Promise.reject(BROKEN),
      () => {
        throw BROKEN;
      },
      () => turns().then(() => true),
      () => undefined as unknown as Promise<boolean>,
    ];
    const handlers: TestHandler[] = [
      () => 'value',
      async () => 'promise',
      fail,
      () => Promise.reject(new Error('boom')),
      () => of('observable'),
    ];
    let [running, peak, runs] = [0, 0, 0];
    const deliveries = upTo(answers.length * handlers.length * 4).map(
      (n) => new FakeDelivery(n, answers[n % answers.length]),
    );
    const handled = new Handled(
      of(...deliveries),
      async (delivery, context) => {
        peak = Math.max(peak, ++running);
        runs++;
        try {
          await null;
          return handlers[runs % handlers.length]?.(delivery, context);
        } finally {
          running--;
        }
      },
      { concurrency: 2, retry: { count: 0 } },
    );
    await turns(50);
    expect([handled.completed, runs, peak, handled.outcomes.length]).toEqual([
      true,
      deliveries.length,
      2,
      deliveries.length,
    ]);
  });

  it('starts the next message of a lane once the settlement is confirmed or has failed', async () => {
    const started: number[] = [];
    const { deliver, answer, handled } = setUp(({ payload }) => void started.push((payload as { n: number }).n), {
      orderBy: 'key',
      concurrency: 4,
    });
    for (const n of upTo(4)) deliver(n);
    await turns();
    expect(started).toEqual([1]);
    await answer(1, true);
    expect(started).toEqual([1, 2]);
    await answer(2, false);
    expect(started).toEqual([1, 2, 3]);
    await answer(3, BROKEN);
    expect(started).toEqual([1, 2, 3, 4]);
    await answer(4, true);
    expect(handled.outcomes.length).toBe(4);
  });

  it('completes after an abort of `signal` once the releases are confirmed', async () => {
    const controller = new AbortController();
    const { deliver, answer, handled, source, clock } = setUp(() => new Promise(() => {}), {
      signal: controller.signal,
      timeout: 10,
      retry: { count: 0 },
    });
    const [one, two] = [deliver(1), deliver(2)];
    controller.abort();
    clock.advance(10);
    expect([one.calls, two.calls, source.observed]).toEqual([['reject'], [], true]);
    await answer(1, true);
    expect([two.calls, handled.completed]).toEqual([['release'], false]);
    await answer(2, true);
    expect([handled.statuses, handled.completed, source.observed]).toEqual([
      ['1#1 rejected', '2#1 released'],
      true,
      false,
    ]);
  });

  it.each<[string, () => Promise<boolean>]>([
    ['rejects', () => Promise.reject(BROKEN)],
    [
      'throws',
      () => {
        throw BROKEN;
      },
    ],
  ])('stops and unsubscribes even if release() %s', async (_, answer) => {
    for (const leave of [true, false]) {
      const controller = new AbortController();
      const source = new Subject<Delivery>();
      const handled = new Handled(source, () => new Promise(() => {}), { signal: controller.signal });
      const deliveries = upTo(3).map((n) => new FakeDelivery(n, answer));
      for (const delivery of deliveries.slice(leave ? 0 : 3)) source.next(delivery);
      if (leave) handled.subscription.unsubscribe();
      else controller.abort();
      await turns();
      if (leave) expect(deliveries.map(({ calls }) => calls)).toEqual([['release'], ['release'], ['release']]);
      expect(source.observed).toBe(false);
    }
  });

  it('reports only the outcome of a confirm that arrives after the subscriber has unsubscribed', async () => {
    const { deliver, answer, handled } = setUp(() => 'done');
    deliver(1);
    await turns();
    handled.subscription.unsubscribe();
    await answer(1, true);
    expect([handled.values, handled.statuses]).toEqual([[], ['1#1 acked']]);
  });
});

import { concat, NEVER, Observable, of, throwError } from 'rxjs';
import { numberOf, upTo } from '../support/consumers.js';
import { Processing, type TestHandler } from '../support/handling.js';
import { turns } from '../support/promises.js';

const BOOM = new Error('boom');

const WAYS: [string, TestHandler][] = [
  [
    'throws',
    () => {
      throw BOOM;
    },
  ],
  ['rejects', async () => Promise.reject(BOOM)],
  ['rejects later', () => turns().then(() => Promise.reject(BOOM))],
  [
    'returns a thenable that rejects',
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested.
    () => ({ then: (_: unknown, onError: (error: unknown) => void) => onError(BOOM) }),
  ],
  [
    'returns a thenable whose then() throws',
    () => ({
      // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested.
      then() {
        throw BOOM;
      },
    }),
  ],
  ['returns an Observable that errors', () => throwError(() => BOOM)],
  [
    'returns an Observable that throws when it is subscribed to',
    () =>
      new Observable(() => {
        throw BOOM;
      }),
  ],
  [
    'returns an Observable that emits, then errors',
    () =>
      concat(
        of(1),
        throwError(() => BOOM),
      ),
  ],
  [
    'returns an async generator that throws',
    // biome-ignore lint/correctness/useYield: it fails before it comes to that.
    async function* () {
      throw BOOM;
    },
  ],
  [
    'returns an async iterable without an iterator',
    () => ({
      [Symbol.asyncIterator]() {
        throw BOOM;
      },
    }),
  ],
  [
    'returns an async iterable whose next() throws',
    () => ({
      [Symbol.asyncIterator]: () => ({
        next() {
          throw BOOM;
        },
      }),
    }),
  ],
];

describe.each(WAYS)('A handler of handle that %s', (_, handler) => {
  it('has failed: its message is redelivered, then rejected, and the stream continues', async () => {
    const processing = new Processing(
      (delivery, context) => (numberOf(delivery.payload) === 1 ? handler(delivery, context) : 'fine'),
      {
        retry: { count: 1, delay: 10 },
      },
    );
    processing.publish([1]);
    await turns();
    expect(processing.statuses).toEqual(['1#1 retried']);
    expect([processing.queue.size, processing.queue.inFlight]).toEqual([1, 0]);
    processing.publish([2]);
    await processing.pass(10);
    await processing.pass();
    expect(processing.statuses).toEqual(['1#1 retried', '2#1 acked', '1#2 rejected']);
    expect(processing.outcomes.map(({ error }) => error)).toEqual([BOOM, undefined, BOOM]);
    expect(processing.queue.unfinished).toBe(0);
    processing.publish([3]);
    expect(processing.statuses.at(-1)).toBe('3#1 acked');
    expect([processing.completed, processing.error]).toEqual([false, undefined]);
    expect(processing.clock.timers).toBe(0);
  });

  it('frees its slot', async () => {
    const processing = new Processing(handler, { concurrency: 2, retry: { count: 0 } });
    processing.publish(upTo(10));
    await turns(30);
    expect(processing.statuses.sort()).toEqual(
      upTo(10)
        .map((n) => `${n}#1 rejected`)
        .sort(),
    );
    expect(processing.queue.unfinished).toBe(0);
  });
});

const HOSTILE: [string, () => unknown][] = [
  ['undefined', () => undefined],
  ['null', () => null],
  ['a string', () => 'text'],
  ['a number', () => 5],
  ['a symbol', () => Symbol('s')],
  ['a BigInt', () => 5n],
  ['a function', () => () => {}],
  ['an object', () => ({ a: 1 })],
  ['an object without a prototype', () => Object.create(null)],
  ['an error without a name', () => Object.assign(new Error('m'), { name: '' })],
  ['an error whose message is no string', () => Object.assign(new Error('m'), { message: 5 })],
  [
    'an error whose message throws',
    () =>
      Object.defineProperty(new Error('m'), 'message', {
        get() {
          throw new Error('getter');
        },
      }),
  ],
  [
    'a proxy that was revoked',
    () => {
      const { proxy, revoke } = Proxy.revocable({}, {});
      revoke();
      return proxy;
    },
  ],
];

describe('A value that a handler of handle throws', () => {
  it.each(HOSTILE)('may be %s', async (_, make) => {
    const thrown = make();
    const processing = new Processing(
      ({ payload }) => {
        if (numberOf(payload) === 1) throw thrown;
        return 'fine';
      },
      { retry: { count: 1, delay: 1 } },
    );
    processing.publish([1, 2]);
    await processing.pass(1);
    expect(processing.statuses).toEqual(['1#1 retried', '2#1 acked', '1#2 rejected']);
    expect(processing.outcomes.map((outcome) => 'error' in outcome)).toEqual([true, false, true]);
    expect(Object.is(processing.outcomes[0]?.error, thrown)).toBe(true);
    expect(processing.queue.unfinished).toBe(0);
  });
});

describe('A value that a handler of handle returns', () => {
  it.each<[string, () => unknown]>([
    [
      'an object whose `then` cannot be read',
      () =>
        Object.defineProperty({}, 'then', {
          get() {
            throw BOOM;
          },
        }),
    ],
    [
      'a proxy that was revoked',
      () => {
        const { proxy, revoke } = Proxy.revocable({}, {});
        revoke();
        return proxy;
      },
    ],
  ])('may be %s without ending the stream', async (_, make) => {
    const processing = new Processing(({ payload }) => (numberOf(payload) === 1 ? make() : 'fine'), {
      retry: { count: 0 },
    });
    expect(() => processing.publish([1, 2])).not.toThrow();
    await processing.pass();
    expect(processing.statuses).toEqual([expect.stringMatching(/^1#1 (acked|rejected)$/), '2#1 acked']);
    expect(processing.queue.unfinished).toBe(0);
  });
});

describe('A handler of handle that never ends', () => {
  it('occupies only its own slot', async () => {
    const processing = new Processing(({ payload }) => (numberOf(payload) === 1 ? NEVER : of('fine')), {
      concurrency: 2,
    });
    processing.publish(upTo(5));
    await processing.pass(1_000_000);
    expect(processing.statuses).toEqual(['2#1 acked', '3#1 acked', '4#1 acked', '5#1 acked']);
    expect(processing.queue.inFlight).toBe(1);
    processing.subscription.unsubscribe();
    expect(processing.statuses.at(-1)).toBe('1#1 released');
  });
});

import { lastValueFrom, of } from 'rxjs';
import {
  InvalidMessageError,
  intercept,
  MemoryBackend,
  type PublishedMessage,
  publishTo,
  type QueueInterceptor,
  SluiceError,
} from 'sluice';
import { fakeBackend } from 'sluice/testing';
import { passLater, passThrough } from '../support/pass-through.js';
import { failureOf, outcomeOf, rejectionOf, stateOf, turns } from '../support/promises.js';

type PublishMethod = NonNullable<QueueInterceptor['publish']>;

const never = new Promise<never>(() => {});

describe('publish of an interceptor', () => {
  it('wraps each publish, the first interceptor outermost', async () => {
    const steps: string[] = [];
    const step = (name: string): QueueInterceptor => ({
      async publish(message, next) {
        steps.push(`${name} before`);
        await next(message);
        steps.push(`${name} after`);
      },
    });
    const fake = fakeBackend();
    await intercept(fake, step('outer'), step('inner')).publish('key', { n: 1 });
    expect(steps).toEqual(['outer before', 'inner before', 'inner after', 'outer after']);
    expect(fake.published).toMatchObject([{ key: 'key', payload: { n: 1 } }]);
  });

  it('gets the message as it was given, with an empty object for missing options', async () => {
    const seen: PublishedMessage[] = [];
    const queue = intercept(fakeBackend(), {
      publish(message, next) {
        seen.push(message);
        return next(message);
      },
    });
    const payload = { n: 1 };
    await queue.publish('one', payload);
    await queue.publish('two', {}, { id: 'a', delay: 5, headers: { h: '1' } });
    expect(seen).toEqual([
      { key: 'one', payload, options: {} },
      { key: 'two', payload: {}, options: { id: 'a', delay: 5, headers: { h: '1' } } },
    ]);
    expect(seen[0]?.payload).toBe(payload);
  });

  it('changes the message', async () => {
    const fake = fakeBackend();
    const queue = intercept(fake, {
      publish: ({ key, payload, options }, next) =>
        next({
          key: `${key}.v2`,
          payload: { wrapped: payload },
          options: { ...options, headers: { ...options.headers, by: 'us' } },
        }),
    });
    await queue.publish('key', { n: 1 }, { headers: { h: '1' }, id: 'x' });
    expect(fake.published).toEqual([
      { key: 'key.v2', payload: { wrapped: { n: 1 } }, headers: { h: '1', by: 'us' }, delay: 0, id: 'x' },
    ]);
  });

  it.each<[string, QueueInterceptor]>([
    ['resolves', { publish: async () => {} }],
    ['returns nothing', { publish: () => undefined as never }],
  ])('drops the message if it %s without a call of `next`', async (_, interceptor) => {
    const fake = fakeBackend();
    await intercept(fake, interceptor).publish('key', {});
    expect(fake.published).toEqual([]);
  });

  it.each<[string, PublishMethod]>([
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
    [
      'rejects',
      async () => {
        throw new Error('no');
      },
    ],
    [
      'rejects after `next`',
      async (message, next) => {
        await next(message);
        throw new Error('no');
      },
    ],
  ])('rejects the publish with the error if it %s', async (_, publish) => {
    const error = await failureOf(intercept(fakeBackend(), passThrough, { publish }).publish('key', {}));
    expect(error.message).toBe('no');
  });

  it('gets the error of the queue, and may handle it', async () => {
    const queue = intercept(new MemoryBackend(), {
      publish: (message, next) => next(message).catch((error: Error) => Promise.reject(new Error(error.name))),
    });
    expect((await failureOf(queue.publish('', {}))).message).toBe('InvalidMessageError');
    const lenient = intercept(new MemoryBackend(), { publish: (message, next) => next(message).catch(() => {}) });
    await lenient.publish('', {});
  });

  it('may return nothing: the publish then waits for the queue', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    const intercepted = intercept(queue, {
      publish: (message: PublishedMessage, next: (message: PublishedMessage) => Promise<void>) =>
        void next(message) as never,
    });
    await intercepted.publish('key', {});
    const second = intercepted.publish('key', {});
    expect(await stateOf(second)).toBe('pending');
    queue.clear();
    await second;
  });

  it.each<[string, PublishMethod]>([
    [
      'at once',
      (message, next) => {
        void next(message);
        return next(message);
      },
    ],
    [
      'later',
      async (message, next) => {
        await next(message);
        await next(message);
      },
    ],
    [
      'without waiting',
      async (message, next) => {
        void next(message);
        void next(message);
      },
    ],
    [
      'and ignores it',
      async (message, next) => {
        await next(message);
        await next(message).catch(() => {});
      },
    ],
  ])('fails the publish if it calls `next` twice %s', async (_, publish) => {
    const fake = fakeBackend();
    const error = await failureOf(intercept(fake, { publish }).publish('key', {}));
    expect(error).toBeInstanceOf(SluiceError);
    expect(error.message).toMatch(/called `next` twice.*may have been enqueued/);
    expect(fake.published).toHaveLength(1);
    await turns();
  });

  it('refuses a call of `next` without a message', async () => {
    const queue = intercept(fakeBackend(), { publish: (_, next) => (next as () => Promise<void>)() });
    const error = await rejectionOf(queue.publish('key', {}));
    expect(error).toBeInstanceOf(TypeError);
    expect((error as Error).message).toBe(
      'Expected `next` of an interceptor to be called with a message, got undefined',
    );
  });

  it('keeps the effect within the call, if it calls `next` within it', () => {
    const queue = new MemoryBackend();
    const intercepted = intercept(queue, passThrough, passThrough);
    expect(intercepted.publish('key', {})).toBe(queue.publish('key', {}));
    expect(queue.size).toBe(2);
  });

  it('leaves bad input to the queue', async () => {
    const queue = intercept(new MemoryBackend({ validate: 'json' }), passThrough);
    const invalid: [unknown, unknown, unknown?][] = [
      ['', {}],
      [5, {}],
      ['key', new Date()],
      ['key', null],
      ['key', {}, { headers: { a: 1 } }],
      ['key', {}, { headers: ['a'] }],
      ['key', {}, { headers: new Map() }],
    ];
    for (const message of invalid)
      expect(await rejectionOf(queue.publish(...(message as [string, object])))).toBeInstanceOf(InvalidMessageError);
    for (const options of [null, 5, { signal: 'now' }, { delay: 'soon' }, { headers: {}, id: 7 }] as never[])
      expect(await rejectionOf(queue.publish('key', {}, options))).toBeInstanceOf(TypeError);
    expect(queue.size).toBe(0);
  });

  it('copies the options: the caller may reuse them', async () => {
    const fake = fakeBackend();
    const queue = intercept(fake, passLater);
    const headers = { n: '1' };
    const options = { headers, id: 'one' };
    const published = queue.publish('key', {}, options);
    headers.n = '2';
    options.id = 'two';
    await published;
    expect(fake.published).toMatchObject([{ headers: { n: '1' }, id: 'one' }]);
  });

  it('is called on the interceptor', async () => {
    class Counting implements QueueInterceptor {
      count = 0;
      publish: PublishMethod = (message, next) => {
        this.count++;
        return next(message);
      };
    }
    const counting = new Counting();
    await intercept(fakeBackend(), counting).publish('key', {});
    expect(counting.count).toBe(1);
  });

  it('is used by publishTo, with its signal', async () => {
    const fake = fakeBackend();
    const signals: unknown[] = [];
    const queue = intercept(fake, {
      publish(message, next) {
        signals.push(message.options.signal);
        return next(message);
      },
    });
    await lastValueFrom(of(1, 2).pipe(publishTo(queue, (n) => ['key', { n }])));
    expect(fake.published.map(({ payload }) => payload)).toEqual([{ n: 1 }, { n: 2 }]);
    expect(signals).toEqual([expect.any(AbortSignal), expect.any(AbortSignal)]);
  });

  it('applies once more for a queue that is intercepted twice', async () => {
    const fake = fakeBackend();
    const add = (letter: string): QueueInterceptor => ({
      publish: (message, next) => next({ ...message, key: message.key + letter }),
    });
    await intercept(intercept(fake, add('c'), add('d')), add('a'), add('b')).publish('-', {});
    expect(fake.published).toMatchObject([{ key: '-abcd' }]);
  });
});

describe('The signal of an intercepted publish', () => {
  it('ends an interceptor that never returns, and then nothing is enqueued', async () => {
    const fake = fakeBackend();
    let goOn = (): void => {};
    const queue = intercept(fake, {
      async publish(message, next) {
        await new Promise<void>((resolve) => {
          goOn = resolve;
        });
        await next(message);
      },
    });
    const controller = new AbortController();
    const published = queue.publish('key', {}, { signal: controller.signal });
    expect(await stateOf(published)).toBe('pending');
    const reason = new Error('given up');
    controller.abort(reason);
    expect(await rejectionOf(published)).toBe(reason);
    goOn();
    await turns();
    expect(fake.published).toEqual([]);
  });

  it('does not call interceptors if it has aborted', async () => {
    const publish = jest.fn();
    const reason = new Error('too late');
    const published = intercept(fakeBackend(), { publish }).publish('key', {}, { signal: AbortSignal.abort(reason) });
    expect(await rejectionOf(published)).toBe(reason);
    expect(publish).not.toHaveBeenCalled();
  });

  it('resolves the publish if the queue has the message, whatever the interceptor waits for', async () => {
    const fake = fakeBackend();
    const queue = intercept(fake, {
      async publish(message, next) {
        await next(message);
        await never;
      },
    });
    const controller = new AbortController();
    const published = queue.publish('key', {}, { signal: controller.signal });
    expect(await stateOf(published)).toBe('pending');
    controller.abort();
    expect(await outcomeOf(published)).toEqual({ state: 'fulfilled', value: undefined });
    expect(fake.published).toHaveLength(1);
  });

  it('ends the wait for room, as without interceptors', async () => {
    const queue = new MemoryBackend({ capacity: 1 });
    await queue.publish('key', {});
    const controller = new AbortController();
    const published = intercept(queue, passLater).publish('key', {}, { signal: controller.signal });
    expect(await stateOf(published)).toBe('pending');
    controller.abort('enough');
    expect(await rejectionOf(published)).toBe('enough');
    expect(queue.size).toBe(1);
  });

  it('aborts from inside the interceptor', async () => {
    const controller = new AbortController();
    const queue = intercept(fakeBackend(), {
      publish() {
        controller.abort('inside');
        return never;
      },
    });
    expect(await rejectionOf(queue.publish('key', {}, { signal: controller.signal }))).toBe('inside');
  });

  it('keeps no listener', async () => {
    const { signal } = new AbortController();
    const added = jest.spyOn(signal, 'addEventListener');
    const removed = jest.spyOn(signal, 'removeEventListener');
    await intercept(fakeBackend(), passLater).publish('key', {}, { signal });
    await failureOf(
      intercept(fakeBackend(), { publish: () => Promise.reject(new Error('no')) }).publish('key', {}, { signal }),
    );
    expect(removed.mock.calls.length).toBe(added.mock.calls.length);
  });
});

import vm from 'node:vm';
import { InvalidMessageError, MemoryBackend, type PublishOptions, receive, SluiceError } from 'sluice';
import { Holder, pull } from '../support/consumers.js';
import { rejectionOf, thrownBy } from '../support/promises.js';

class Order {
  readonly total = 5;
}

/** The error of a publish that has to be refused. Expects that the queue is unchanged. */
async function refusal(
  queue: MemoryBackend,
  key: unknown,
  payload: unknown,
  options?: unknown,
): Promise<InvalidMessageError> {
  const published: unknown[] = [];
  const tapped = queue.published$.subscribe((entry) => published.push(entry));
  // Not called inside a promise, so a synchronous exception fails the test.
  const promise = queue.publish(key as string, payload as object, options as PublishOptions);
  const error = await rejectionOf(promise);
  tapped.unsubscribe();
  expect(published).toEqual([]);
  expect([queue.size, queue.inFlight, queue.unfinished]).toEqual([0, 0, 0]);
  expect(error).toBeInstanceOf(InvalidMessageError);
  expect(SluiceError.is(error)).toBe(true);
  return error as InvalidMessageError;
}

describe('Message key', () => {
  it.each([
    ['empty', ''],
    ['too long', 'k'.repeat(256)],
    ['too long in bytes', 'é'.repeat(128)],
    ['half a surrogate pair', 'a\uD800'],
    ['undefined', undefined],
    ['null', null],
    ['a number', 5],
    ['an object', {}],
    ['a String object', Object('key')],
  ])('is refused if it is %s', async (_, key) => {
    const queue = new MemoryBackend();
    const error = await refusal(queue, key, { n: 1 });
    expect(error).toMatchObject({
      code: 'SLUICE_INVALID_MESSAGE',
      path: 'key',
      message: expect.stringContaining('`key`'),
    });
    expect(error.message).toContain(error.expected);
    expect(error.message).toContain(error.received);
    expect(InvalidMessageError.is(thrownBy(() => queue.tryPublish(key as string, { n: 1 })))).toBe(true);
    expect(queue.size).toBe(0);
  });

  it.each([
    ['k'.repeat(255)],
    [`${'é'.repeat(127)}a`],
    ['😀'.repeat(63)],
    [' '],
    ['a/b.c:d*#'],
    ['\u0000'],
    ['__proto__'],
    ['constructor'],
    ['toString'],
  ])('may be %j', async (key) => {
    const queue = new MemoryBackend();
    await queue.publish(key, { n: 1 });
    queue.tryPublish(key, { n: 2 });
    const { deliveries } = new Holder(queue);
    expect(deliveries.map((delivery) => delivery.key)).toEqual([key, key]);
  });

  it('is checked again if it changes between two publishes', async () => {
    const queue = new MemoryBackend();
    await queue.publish('good', {});
    queue.clear();
    await refusal(queue, '', {});
    await queue.publish('good', {});
    expect(queue.size).toBe(1);
  });
});

describe.each(['shape', 'json'] as const)("Message payload with validate: '%s'", (validate) => {
  it.each<[string, unknown]>([
    ['undefined', undefined],
    ['null', null],
    ['a string', 'text'],
    ['a number', 5],
    ['a boolean', true],
    ['a symbol', Symbol('s')],
    ['a BigInt', 5n],
    ['a function', () => {}],
    ['an array', [1, 2]],
    ['a Date', new Date(0)],
    ['a Map', new Map()],
    ['a Set', new Set()],
    ['a class instance', new Order()],
    ['an Error', new Error('e')],
    ['a Promise', Promise.resolve()],
    ['bytes', new Uint8Array(3)],
    ['an object with a prototype of its own', Object.create({ inherited: 1 })],
  ])('is refused if it is %s', async (_, payload) => {
    const queue = new MemoryBackend({ validate });
    const error = await refusal(queue, 'key', payload);
    expect(error.path).toBe('payload');
    expect(error.message).toContain('`payload`');
    expect(error.expected.length).toBeGreaterThan(0);
    expect(error.received.length).toBeGreaterThan(0);
    expect(InvalidMessageError.is(thrownBy(() => queue.tryPublish('key', payload as object)))).toBe(true);
  });

  it.each<[string, object]>([
    ['an empty object', {}],
    ['nested', { a: { b: [{ c: null }] } }],
    ['an object from another realm', vm.runInNewContext('({ n: 1, list: [{ n: 2 }] })') as object],
    ['a structured clone', structuredClone({ n: 1 })],
    ['an object with a field that is called constructor', { constructor: 'data', toString: 'data', hasOwnProperty: 1 }],
    [
      'an object with a field that is called __proto__',
      JSON.parse('{ "__proto__": { "polluted": true }, "n": 1 }') as object,
    ],
  ])('may be %s', async (_, payload) => {
    const queue = new MemoryBackend({ validate });
    await queue.publish('key', payload);
    const [received] = await pull(queue.consume(), 1);
    expect(JSON.stringify(received)).toBe(JSON.stringify(payload));
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it('may be an object without a prototype', async () => {
    const queue = new MemoryBackend({ validate });
    await queue.publish('key', Object.assign(Object.create(null), { n: 1 }));
    expect(await pull(queue.consume(), 1)).toMatchObject([{ n: 1 }]);
  });
});

describe("Message payload with validate: 'json'", () => {
  const cyclic: { list: unknown[] } = { list: [] };
  cyclic.list.push({ back: cyclic });

  it.each<[string, object, string]>([
    ['a Date', { at: new Date(0) }, 'payload.at'],
    ['a Map', { a: { b: new Map() } }, 'payload.a.b'],
    ['a class instance', { items: [{}, {}, {}, new Order()] }, 'payload.items[3]'],
    ['a BigInt', { items: [1, 2, { price: 5n }] }, 'payload.items[2].price'],
    ['NaN', { items: [0, 0, 0, { price: Number.NaN }] }, 'payload.items[3].price'],
    ['Infinity', { n: Number.POSITIVE_INFINITY }, 'payload.n'],
    ['a function', { run: () => {} }, 'payload.run'],
    ['an own toJSON', { toJSON: () => ({}) }, 'payload.toJSON'],
    ['a symbol', { s: Symbol('s') }, 'payload.s'],
    ['undefined in an array', { list: [1, undefined] }, 'payload.list[1]'],
    ['a hole in an array', { list: new Array(2) }, 'payload.list[0]'],
    ['a boxed string', { s: Object('s') }, 'payload.s'],
    ['a cycle', cyclic, 'payload.list[0].back'],
    ['a name that is no identifier', { 'two words': Number.NaN }, 'payload["two words"]'],
    ['a bad field behind __proto__', JSON.parse('{ "__proto__": { "a": 1e999 } }') as object, 'payload.__proto__.a'],
  ])('is refused if it contains %s, with the path', async (_, payload, path) => {
    const queue = new MemoryBackend({ validate: 'json' });
    const error = await refusal(queue, 'key', payload);
    expect(error.path).toBe(path);
    expect(error.message).toContain(path);
    expect(thrownBy(() => queue.tryPublish('key', payload))).toMatchObject({ path });
  });

  it('is refused without a stack overflow if it is nested very deeply', async () => {
    let payload: object = {};
    for (let depth = 0; depth < 200_000; depth++) payload = { payload };
    await refusal(new MemoryBackend({ validate: 'json' }), 'key', payload);
  });

  it('omits undefined properties', async () => {
    const queue = new MemoryBackend({ validate: 'json' });
    await queue.publish('key', { a: undefined, b: { c: undefined, d: 1 } });
    const [payload] = await pull(queue.consume(), 1);
    expect(payload).toStrictEqual({ b: { d: 1 } });
  });

  it('is a separate copy in every group and on every delivery', async () => {
    const queue = new MemoryBackend({ validate: 'json', groups: ['billing', 'audit'] });
    await queue.publish('key', { n: 1 });
    for (const attempt of [1, 2]) {
      const billed = await receive(queue, { group: 'billing' });
      expect([billed.attempt, billed.payload]).toEqual([attempt, { n: 1 }]);
      Object.assign(billed.payload, { n: 99 });
      await billed.nack();
    }
    const { value } = await queue.consume({ group: 'audit' }).next();
    expect(value).toEqual({ n: 1 });
  });

  it('is delivered as a deep copy', async () => {
    const queue = new MemoryBackend({ validate: 'json' });
    const payload = { list: [{ n: 1 }] };
    await queue.publish('key', payload);
    payload.list[0] = { n: 99 };
    payload.list.push({ n: 2 });
    const [received] = await pull(queue.consume(), 1);
    expect(received).toEqual({ list: [{ n: 1 }] });
    expect(received).not.toBe(payload);
  });

  it('may contain an object twice, which is not a cycle', async () => {
    const queue = new MemoryBackend({ validate: 'json' });
    const shared = { n: 1 };
    await queue.publish('key', { a: shared, b: [shared, shared] });
    expect(await pull(queue.consume(), 1)).toEqual([{ a: { n: 1 }, b: [{ n: 1 }, { n: 1 }] }]);
  });

  it('keeps a field that is named __proto__', async () => {
    const queue = new MemoryBackend({ validate: 'json' });
    await queue.publish('key', JSON.parse('{ "deep": [{ "__proto__": { "x": 1 } }] }') as object);
    const [payload] = (await pull(queue.consume(), 1)) as [{ deep: [{ x?: number }] }];
    expect(Object.keys(payload.deep[0])).toEqual(['__proto__']);
    expect(payload.deep[0].x).toBeUndefined();
    expect(Object.getPrototypeOf(payload.deep[0])).toBe(Object.prototype);
  });
});

describe("Message payload with validate: 'shape'", () => {
  it('is delivered as the same object, whatever it contains', async () => {
    const queue = new MemoryBackend();
    const payload = { at: new Date(0), big: 5n };
    await queue.publish('key', payload);
    expect((await pull(queue.consume(), 1))[0]).toBe(payload);
  });
});

describe('Message headers', () => {
  it.each<[string, unknown, string]>([
    ['a string', 'text', 'headers'],
    ['null', null, 'headers'],
    ['an array', ['a'], 'headers'],
    ['a Map', new Map(), 'headers'],
    ['a number as a value', { n: 1 }, 'headers.n'],
    ['undefined as a value', { trace: undefined }, 'headers.trace'],
    ['a value that is not UTF-8', { trace: '\uDC00' }, 'headers.trace'],
  ])('are refused if they are or contain %s', async (_, headers, path) => {
    const error = await refusal(new MemoryBackend(), 'key', {}, { headers });
    expect(error.path).toBe(path);
  });

  it('may have any names and any strings as values', () => {
    const queue = new MemoryBackend();
    const headers = JSON.parse(
      '{ "__proto__": "a", "constructor": "b", "two words": "", "line\\nbreak": "\\r\\n\\u0000", "é": "😀" }',
    ) as Record<string, string>;
    void queue.publish('key', {}, { headers });
    const [delivery] = new Holder(queue).deliveries;
    expect(Object.entries(delivery?.headers ?? {})).toEqual(Object.entries(headers));
  });
});

import assert from 'node:assert/strict';
import type { QueueBackend } from '../../backend.js';
import { InvalidMessageError, SluiceError } from '../../errors.js';
import { type CaseContext, plain, rejectionOf } from '../case-context.js';
import { type Definition, rule } from '../definition.js';

class Order {
  readonly total = 5;
}

interface Refused {
  readonly what: string;
  readonly path: string;
  readonly key?: unknown;
  readonly payload?: unknown;
  readonly headers?: unknown;
}

const cyclic: { list: unknown[] } = { list: [] };
cyclic.list.push({ back: cyclic });

const KEYS: readonly [what: string, key: unknown][] = [
  ['an empty key', ''],
  ['a key of 256 bytes', 'k'.repeat(256)],
  ['a key of 128 characters of two bytes each', 'é'.repeat(128)],
  ['a key with half a surrogate pair', 'a\uD800'],
  ['a number as the key', 5],
  ['no key', undefined],
  ['null as the key', null],
  ['an object as the key', {}],
];

const NO_PLAIN_OBJECTS: readonly [what: string, payload: unknown][] = [
  ['no payload', undefined],
  ['null', null],
  ['a string', 'text'],
  ['a number', 5],
  ['a BigInt', 5n],
  ['a function', () => {}],
  ['an array', [1, 2]],
  ['a Date', new Date(0)],
  ['a Map', new Map()],
  ['a Promise', Promise.resolve()],
  ['bytes', new Uint8Array(3)],
  ['a class instance', new Order()],
];

const CHANGED_BY_JSON: readonly [what: string, payload: object, path: string][] = [
  ['a Date in the payload', { at: new Date(0) }, 'payload.at'],
  ['a Map in the payload', { a: { b: new Map() } }, 'payload.a.b'],
  ['a class instance in the payload', { items: [{}, {}, {}, new Order()] }, 'payload.items[3]'],
  ['a BigInt in the payload', { items: [1, 2, { price: 5n }] }, 'payload.items[2].price'],
  ['NaN in the payload', { items: [0, 0, 0, { price: Number.NaN }] }, 'payload.items[3].price'],
  ['Infinity in the payload', { n: Number.POSITIVE_INFINITY }, 'payload.n'],
  ['a function in the payload', { run: () => {} }, 'payload.run'],
  ['a symbol in the payload', { s: Symbol('s') }, 'payload.s'],
  ['undefined in an array of the payload', { list: [1, undefined] }, 'payload.list[1]'],
  ['a cycle in the payload', cyclic, 'payload.list[0].back'],
  ['a bad value behind a name that is no identifier', { 'two words': Number.NaN }, 'payload["two words"]'],
];

const HEADERS: readonly [what: string, headers: unknown, path: string][] = [
  ['headers that are no object', 'text', 'headers'],
  ['null as headers', null, 'headers'],
  ['a header that is a number', { n: 1 }, 'headers.n'],
  ['a header that is undefined', { trace: undefined }, 'headers.trace'],
  ['a header with half a surrogate pair', { trace: '\uDC00' }, 'headers.trace'],
];

/** Publishes invalid messages, and checks each error and that nothing was enqueued. */
async function allRefused(t: CaseContext, messages: readonly Refused[]): Promise<void> {
  const queue = await t.open();
  for (const message of messages) await refused(t, queue, message);
  await t.publish(queue, [1]);
  const consumer = t.addConsumer(queue);
  await t.receives(consumer, 1);
  assert.deepEqual(plain(consumer.deliveries[0]?.payload), { n: 1 }, 'Expected no refused message in the queue');
  await t.counts(queue, { unfinished: 1 });
}

async function refused(
  t: CaseContext,
  queue: QueueBackend,
  { what, path, key = 'key', payload = {}, headers }: Refused,
): Promise<void> {
  let published: Promise<void>;
  try {
    published = queue.publish(
      key as string,
      payload as object,
      headers === undefined ? undefined : { headers: headers as Record<string, string> },
    );
  } catch (error) {
    assert.fail(`Expected publish() of ${what} to return a promise that rejects, but it threw ${String(error)}`);
  }
  const error = await t.within(`publish() of ${what} to reject`, rejectionOf(`publish() of ${what}`, published));
  assert.ok(
    InvalidMessageError.is(error) && SluiceError.is(error),
    `Expected an InvalidMessageError for ${what}, got ${String(error)}`,
  );
  assert.equal(error.path, path, `Expected the path of ${what}`);
  for (const part of [path, error.expected, error.received]) {
    assert.ok(
      part.length > 0 && error.message.includes(part),
      `Expected the message for ${what} to name ${JSON.stringify(part)}, got: ${error.message}`,
    );
  }
}

/** Rule 5: invalid messages are refused. */
export const validation: readonly Definition[] = [
  rule(5, 'an invalid key is refused with an InvalidMessageError', (t) =>
    allRefused(
      t,
      // A default would replace `undefined`.
      KEYS.map(([what, key]) => ({ what, path: 'key', key: key === undefined ? Symbol('none') : key })),
    ),
  ),

  rule(5, 'a payload that is not a plain object is refused with an InvalidMessageError', (t) =>
    allRefused(
      t,
      NO_PLAIN_OBJECTS.map(([what, payload]) => ({
        what,
        path: 'payload',
        payload: payload === undefined ? Symbol('none') : payload,
      })),
    ),
  ),

  rule(5, 'invalid headers are refused with an InvalidMessageError that names the path', (t) =>
    allRefused(
      t,
      HEADERS.map(([what, headers, path]) => ({ what, path, headers })),
    ),
  ),

  rule(
    5,
    'a value that JSON would change is refused with an InvalidMessageError that names the path',
    { validation: 'json' },
    (t) =>
      allRefused(
        t,
        CHANGED_BY_JSON.map(([what, payload, path]) => ({ what, path, payload })),
      ),
  ),

  rule(5, 'undefined properties are left out', { validation: 'json' }, async (t) => {
    const queue = await t.open();
    await queue.publish('key', { n: 1, a: undefined, b: { c: undefined, d: 1 } });
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1]);
    const payload = consumer.of(1).payload as { b: object };
    assert.deepEqual([Object.keys(payload), Object.keys(payload.b)], [['n', 'b'], ['d']]);
  }),

  rule(5, 'an object without a prototype, from JSON or from another realm is a plain object', async (t) => {
    const queue = await t.open();
    const { runInNewContext } = await import('node:vm');
    await queue.publish('key', Object.assign(Object.create(null) as object, { n: 1 }));
    await queue.publish('key', runInNewContext('({ n: 2, list: [{}] })') as object);
    await queue.publish('key', JSON.parse('{ "n": 3, "__proto__": { "polluted": true } }') as object);
    await queue.publish('key', structuredClone({ n: 4 }));
    const consumer = t.addConsumer(queue);
    await t.receivesExactly(consumer, [1, 2, 3, 4]);
    assert.equal(({} as { polluted?: boolean }).polluted, undefined);
  }),
];

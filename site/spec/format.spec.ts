import util from 'node:util';
import fc from 'fast-check';
import { formatLine, formatTable, inspect } from '../playground/format';

class Order {
  id = 1;
}
class List extends Array {}
const symbol = Symbol('s');
const cyclic: Record<string, unknown> = { id: 1 };
cyclic.self = cyclic;

/** The layout of Node's long lists differs: it fills lines, here each entry has its own. */
const words = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe('a value', () => {
  it.each<[unknown]>([
    ...[undefined, null, 0, -0, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 10n, true, symbol].map((one): [unknown] => [
      one,
    ]),
    ...['', 'a', "it's", `"it's"`, '`"it\'s"`', 'a\nb\t', '\\', '\\"', `'\\"`, '\ud83d', '😀'].map((one): [unknown] => [
      one,
    ]),
    [() => {}],
    [function named() {}],
    [class {}],
    [Order],
    [{}],
    [[]],
    [{ a: 1, b: undefined, c: null }],
    [{ 'a-b': 1, $a: 1, 1: 2, _x1: 3, ä: 1, '': 1, "a'b": 1, [symbol]: 1 }],
    [[1, [2, [3, [4]]]]],
    [{ a: { b: { c: { d: 1 } } } }],
    [{ a: [{ b: [{}] }], c: [[[[]]]] }],
    [new Order()],
    [{ order: new Order() }],
    [new (class {})()],
    [new (class extends Order {})()],
    [Object.create({})],
    [Object.create(new Order())],
    [Object.create(null)],
    [Object.assign(Object.create(null), { a: 1 })],
    [{ constructor: 1 }],
    [new Date(0)],
    [new Date(Number.NaN)],
    [/a\/b/g],
    [
      new Map<unknown, unknown>([
        ['a', { b: 1 }],
        [{ c: 1 }, 2],
      ]),
    ],
    [new Map()],
    [new Set([1, 'b', [2]])],
    [new Uint8Array(3)],
    [new BigInt64Array(2)],
    [new Float64Array()],
    [List.from([1, 2])],
    [new Number(1)],
    [new String('a')],
    [new Boolean(false)],
    [[undefined, null]],
    [
      {
        get a() {
          return 1;
        },
        set b(_: number) {},
      },
    ],
    [Object.defineProperty({ a: 1 }, 'hidden', { value: 2 })],
    [{ [Symbol.toStringTag]: 'Tag' }],
    [{ a: () => {}, b: Order }],
    [{ text: 'x'.repeat(100), other: 1 }],
    [{ list: ['x'.repeat(50), 'y'.repeat(50)], more: 'a\nb' }],
    [Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`key${index}`, index]))],
  ])('is shown as in Node: %p', (value) => {
    expect(inspect(value)).toBe(util.inspect(value));
  });

  it.each<[unknown]>([
    [Array.from({ length: 30 }, (_, index) => `x${index}`)],
    [Array.from({ length: 99 }, (_, index) => index)],
    [Array(100).fill(0)],
    [new Uint8Array(100)],
    [{ a: { b: { c: { d: 1 }, e: 'x'.repeat(20) }, f: 'x'.repeat(40) } }],
    [{ a: { b: { c: new Order(), d: new Map([[1, 2]]), e: new Date(0), f: [1] } } }],
    [new Set(Array.from({ length: 99 }, (_, index) => index))],
  ])('is shown as in Node, in other lines: %p', (value) => {
    expect(words(inspect(value))).toBe(words(util.inspect(value)));
  });

  // On purpose: shorter code, and no access to what only the debugger sees.
  it.each<[string, unknown, string]>([
    ['no stack', new Error('bad'), 'Error: bad'],
    ['no message', new RangeError(), 'RangeError'],
    ['an error within', { error: new TypeError('bad') }, '{ error: [TypeError: bad] }'],
    ['an error with a cause', new Error('a', { cause: new Error('b') }), 'Error: a { [cause]: [Error: b] }'],
    ['an error with details', Object.assign(new Error('a'), { id: 1 }), 'Error: a { id: 1 }'],
    ['no state of a promise', Promise.resolve(1), 'Promise {}'],
    ['no mark of a reference', cyclic, '{ id: 1, self: [Circular] }'],
    ['no count of holes', Object.assign(Array(3), { 1: 1 }), '[ <empty>, 1, <empty> ]'],
    ['no kind of a function', async () => {}, '[Function (anonymous)]'],
    ['no ancestor of a class', class extends Order {}, '[class (anonymous)]'],
    ['control characters as in JSON', '\u0000', "'\\u0000'"],
    [
      'getters only',
      {
        get a() {
          return 1;
        },
        set a(_) {},
      },
      '{ a: [Getter] }',
    ],
    ['further entries', Array(102).fill(0), `[\n${'  0,\n'.repeat(100)}  ... 2 more\n]`],
  ])('differs from Node: %s', (_name, value, text) => {
    expect(inspect(value)).toBe(text);
    expect(util.inspect(value)).not.toBe(text);
  });

  it('is no cycle if it is only there twice', () => {
    const shared = { id: 1 };
    expect(inspect([shared, shared])).toBe('[ { id: 1 }, { id: 1 } ]');
  });

  it('has a limited number of entries', () => {
    const many = Array.from({ length: 150 }, (_, index) => index);
    for (const value of [
      many,
      new Set(many),
      new Map(many.map((one) => [one, one])),
      Uint8Array.from(many),
      { ...many },
    ]) {
      const text = inspect(value);
      expect(text).toContain('99');
      expect(text).not.toContain('100');
      expect(text).toContain('... 50 more');
    }
    expect(inspect('x'.repeat(10_001))).toBe(`'${'x'.repeat(10_000)}…'`);
  });

  it('is not shown in full if it has very many values', () => {
    const wide = (depth: number): unknown =>
      depth === 0 ? 'x'.repeat(200) : Array.from({ length: 100 }, () => wide(depth - 1));
    const text = inspect(wide(3));
    expect(text.length).toBeLessThan(10_000 * 250);
    expect(text).toContain('…');
    // Each value has the same limit.
    expect(formatLine(['%d', 1])).toBe('1');
    expect(inspect([1])).toBe('[ 1 ]');
  });

  it('may be a large array', () => {
    expect(inspect(new Uint8Array(100_000_000))).toContain('... 99999900 more');
  });

  it('does not run getters', () => {
    const getter = jest.fn();
    inspect(Object.defineProperty({}, 'a', { get: getter, enumerable: true }));
    expect(getter).not.toHaveBeenCalled();
  });

  it('may be an error with an endless chain of causes, or with very many', () => {
    class Endless extends Error {
      override get cause(): unknown {
        return new Endless('again');
      }
    }
    expect(inspect(new Endless('again'))).toContain('[cause]: [Error: again]');
    let error = new Error('last');
    // Two paths from each to the next: all of them together would take longer than anyone waits.
    for (let depth = 0; depth < 60; depth++) error = Object.assign(new Error('inner', { cause: error }), { error });
    expect(inspect(error).length).toBeLessThan(1000);
  });

  it.each<[string, () => unknown]>([
    ['a proxy that throws', () => new Proxy({}, { ownKeys: fails, getPrototypeOf: fails, get: fails })],
    ['a member that throws', () => [1, new Proxy({}, { ownKeys: fails })]],
    ['a revoked proxy', revoked],
    [
      'a thrown value without a text',
      () =>
        new Proxy(
          {},
          {
            ownKeys: () => {
              throw Object.create(null);
            },
          },
        ),
    ],
    ['a date that is none', () => Object.create(Date.prototype)],
    ['a map that is none', () => Object.create(Map.prototype)],
  ])('is replaced if it cannot be shown: %s', (_name, create) => {
    expect(inspect(create())).toMatch(/^\[not shown: .+\]$/);
    expect(formatTable(create())).toMatch(/\[not shown: .+\]|^\(index\)/);
  });

  it('is an error without a text if that throws', () => {
    expect(inspect(Object.defineProperty(new Error('a'), 'name', { get: fails }))).toContain('it throws');
  });

  it('never throws, and has a limited length', () => {
    const key = fc.oneof(fc.string({ unit: 'binary', maxLength: 5 }), fc.constant('__proto__'));
    const { value } = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.anything({
          withDate: true,
          withMap: true,
          withSet: true,
          withSparseArray: true,
          withNullPrototype: true,
          withTypedArray: true,
        }),
        fc.constantFrom(cyclic, Order, new Order()),
        fc.constant(0).map(() => [revoked()]),
        fc.constantFrom(fails).map((ownKeys) => new Proxy({}, { ownKeys })),
        fc.dictionary(key, tie('value'), { maxKeys: 5 }),
        fc.array(tie('value'), { maxLength: 5 }),
        tie('value').map((cause) => new Error('e', { cause })),
        tie('value').map((one) => ({
          get one() {
            return one;
          },
        })),
      ),
    }));
    fc.assert(
      fc.property(value, (one) => {
        const text = inspect(one);
        expect(text.length).toBeLessThan(100_000);
        expect(inspect(one)).toBe(text);
        expect(formatLine(['%s %d %i %f %j %O %c', one, one, one, one, one, one, one, one]).length).toBeLessThan(
          600_000,
        );
        expect(typeof formatTable(one)).toBe('string');
      }),
      { numRuns: 500 },
    );
  });
});

describe('a line', () => {
  it.each<[unknown[]]>([
    [[]],
    [['a', 'b', 1]],
    [[1, 'a', { b: 'c' }]],
    [['a\n', 1]],
    [['100%', 1]],
    [['%d']],
    [['%%']],
    [['%s', 'a']],
    [['%s', 1]],
    [['%s', -0]],
    [['%s', 1n]],
    [['%s', null]],
    [['%s', symbol]],
    [['%s', new Order()]],
    [['%s', [1]]],
    [['%s%s', 'a', 'b', 'c', { d: 1 }]],
    [['%d', '3']],
    [['%d', '']],
    [['%d', null]],
    [['%d', undefined]],
    [['%d', 1n]],
    [['%d', {}]],
    [['%d', symbol]],
    [['%d', -0]],
    [['%i', 3.7]],
    [['%i', 3n]],
    [['%i', '']],
    [['%i', {}]],
    [['%i', symbol]],
    [['%f', '1.5']],
    [['%f', 3n]],
    [['%f', symbol]],
    [['%j', { a: 1 }]],
    [['%j', undefined]],
    [['%o', 1]],
    [['%O', { a: 1 }]],
    [['%c a', 'color: red']],
    [['%%', 1]],
    [['%d %d', 1]],
    [['%x', 1]],
    [['%d%%', 50]],
  ])('is as in Node: %p', (values) => {
    expect(formatLine(values)).toBe(util.format(...values));
  });

  it('has no number for an object without a text, where Node throws', () => {
    const bare = Object.create(null);
    expect(formatLine(['%d %i %f', bare, bare, bare])).toBe('NaN NaN NaN');
  });

  it('shows why a conversion fails', () => {
    expect(formatLine(['%j %i', cyclic, Object.assign(() => {}, { toString: fails }), 2])).toMatch(
      /^\[not shown: TypeError: .*\] \[not shown: Error: it throws\] 2$/s,
    );
  });
});

describe('a table', () => {
  it.each<[string, unknown, readonly string[]]>([
    [
      'rows',
      [{ id: 1, key: 'a' }, { id: 20 }],
      ['(index)  id  key', '-------  --  ---', "0        1   'a'", '1        20'],
    ],
    ['lists', [[1, 2], [3]], ['(index)  0  1', '-------  -  -', '0        1  2', '1        3']],
    ['values', { a: 1, b: 'x' }, ['(index)  Values', '-------  ------', 'a        1', "b        'x'"]],
    ['both', [{ id: 1 }, 2], ['(index)  id  Values', '-------  --  ------', '0        1', '1            2']],
    ['a map', new Map([['long name', { id: 1 }]]), ['(index)    id', '---------  --', 'long name  1']],
    ['nothing', [], ['(index)', '-------']],
  ])('has columns for %s', (_name, data, lines) => {
    expect(formatTable(data).split('\n')).toEqual(lines);
  });

  it('is the value itself if that is none', () => {
    expect([formatTable('a'), formatTable(1), formatTable(null)]).toEqual(['a', '1', 'null']);
  });

  it('has a limited number of columns', () => {
    const [header = ''] = formatTable([
      Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`c${index}`, 1])),
    ]).split('\n');
    expect(header.split(/ +/)).toHaveLength(101);
  });

  it('has a limited number of rows', () => {
    expect(formatTable(Array(150).fill(1)).split('\n')).toHaveLength(102);
  });

  it('is replaced if it cannot be shown', () => {
    const table = Object.defineProperty({}, 'a', { get: fails, enumerable: true });
    expect(formatTable(table)).toBe('[not shown: Error: it throws]');
  });
});

function fails(): never {
  throw new Error('it throws');
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

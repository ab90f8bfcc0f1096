import { inspect as inspectOfNode } from 'node:util';
import { describeFailure, lineIn } from '../playground/failure.js';
import { formatLine, formatTable, inspect } from '../playground/format.js';

class Order {
  readonly id = 1;
}

const circular: Record<string, unknown> = { id: 1 };
circular.self = circular;

describe('The console', () => {
  it.each<readonly [string, unknown]>([
    ['an object', { id: 1, 'a-b': 'two', nested: { list: [1, [2, [3, [4]]]] } }],
    ['an array', [1, 'two', null, undefined, true, 5n, -0, Symbol('s')]],
    ['quotes', ["it's", 'a "b"', `it's "c"`, 'a\nb', '\\']],
    ['a map', new Map<unknown, unknown>([['a', { id: 1 }]])],
    ['a set', new Set([1, 'a'])],
    ['an instance', new Order()],
    ['no prototype', Object.assign(Object.create(null), { id: 1 })],
    ['functions', [() => {}, Order, function named() {}]],
    ['a date in an object', { at: new Date(0) }],
    ['a regular expression', [/a\/b/g]],
    ['typed numbers', Uint8Array.of(1, 2)],
    ['empty values', [{}, [], new Map(), new Set(), '']],
    ['an accessor', Object.defineProperty({}, 'id', { enumerable: true, get: () => 1 })],
    ['many entries', Array.from({ length: 100 }, () => 0).slice(0, 5)],
  ])('shows %s as Node does', (_name, value) => {
    expect(inspect(value)).toBe(inspectOfNode(value, { breakLength: Number.POSITIVE_INFINITY, compact: true }));
  });

  it('shows errors without their stack', () => {
    const error = new TypeError('no', { cause: new Error('because') });
    expect(inspect(error)).toBe('TypeError: no { [cause]: [Error: because] }');
    expect(inspect({ error: new Error('a') })).toBe('{ error: [Error: a] }');
  });

  it('survives hostile and large values', () => {
    expect(inspect(circular)).toBe('{ id: 1, self: [Circular] }');
    const hostile = new Proxy(
      {},
      {
        ownKeys: () => {
          throw new Error('mine');
        },
      },
    );
    expect(inspect(hostile)).toBe('[not shown: Error: mine]');
    expect(inspect({ hostile })).toContain('not shown');
    expect(inspect(Array.from({ length: 1_000_000 }, () => 0))).toMatch(/\.\.\. 999900 more/);
    const wide = (depth: number): unknown =>
      depth === 0 ? 'x'.repeat(200) : Array.from({ length: 100 }, () => wide(depth - 1));
    expect(inspect(wide(3)).length).toBeLessThan(10_000 * 250);
  });

  it('fills placeholders', () => {
    expect(formatLine(['%s has %d of %i, %f and %j', 'a', 4, '7.9', '1.5', { b: 1 }, { c: 1 }])).toBe(
      'a has 4 of 7, 1.5 and {"b":1} { c: 1 }',
    );
    expect(formatLine(['100%', 1])).toBe('100% 1');
    expect(formatLine(['%d %d %%', Symbol('s')])).toBe('NaN %d %');
    expect(formatLine([])).toBe('');
  });

  it('draws tables', () => {
    expect(formatTable([{ id: 1, key: 'a' }, { id: 22 }, 3]).split('\n')).toEqual([
      '(index)  id  key  Values',
      '-------  --  ---  ------',
      "0        1   'a'",
      '1        22',
      '2                 3',
    ]);
    expect(formatTable('text')).toBe('text');
  });
});

describe('A failure', () => {
  it('has the line of the innermost frame of the program', () => {
    const stack =
      'Error: at playground.ts:99:1\n    at f (node_modules/sluice.js:1:2)\n    at playground.ts:7:3\n    at playground.ts:9:1';
    expect(lineIn(stack, 'at playground.ts:99:1', 'blob:null/1')).toBe(7);
    expect(lineIn('f@blob:null/1:4:2\n@blob:null/1:8:1', '', 'blob:null/1')).toBe(4);
    expect(lineIn('Error: a\n    at f (node_modules/sluice.js:1:2)', 'a', 'blob:null/1')).toBeUndefined();
  });

  it('tells what was thrown', () => {
    const error = new RangeError('no', { cause: new Error('because') });
    error.stack = 'RangeError: no\n    at playground.ts:3:1';
    expect(describeFailure(error, 'blob:null/1')).toEqual({
      message: 'RangeError: no (cause: Error: because)',
      line: 3,
    });
    expect(describeFailure('text', 'blob:null/1')).toEqual({ message: "Uncaught 'text'" });
    expect(describeFailure(undefined, 'blob:null/1')).toEqual({ message: 'Uncaught undefined' });
  });
});

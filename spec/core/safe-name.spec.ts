import fc from 'fast-check';
import { safeName } from '../../src/core/safe-name.js';

const MOST = 60;

/** Similar names, and any others. */
const name = fc.oneof(
  fc.string({
    unit: fc.constantFrom('a', 'A', '=', '%', '~', '.', '7', 'E', '2', '*', '>', ' '),
    minLength: 1,
    maxLength: 90,
  }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 90 }).filter((text) => !/\p{Surrogate}/u.test(text)),
  fc
    .tuple(fc.constantFrom('x', 'é', '.', '😀'), fc.integer({ min: 1, max: 255 }))
    .map(([unit, count]) => unit.repeat(count)),
);

describe('safeName', () => {
  it.each([
    ['orders', 'orders'],
    ['Orders_2-b', 'Orders_2-b'],
    ['a.b', 'a=2Eb'],
    ['a b*>~', 'a=20b=2A=3E=7E'],
    ["(it's)!", '=28it=27s=29=21'],
    ['100%', '100=25'],
    ['=25', '=3D25'],
    ['é', '=C3=A9'],
    ['😀', '=F0=9F=98=80'],
    ['\u0000\n', '=00=0A'],
  ])('encodes %j as %j', (given, expected) => {
    expect(safeName(given, MOST)).toBe(expected);
  });

  it('contains only characters that every engine accepts, and respects the length', () => {
    fc.assert(
      fc.property(name, fc.integer({ min: 40, max: 250 }), (given, most) => {
        const safe = safeName(given, most);
        expect(safe).toMatch(/^([\w-]|=[0-9A-F]{2})*(~[0-9a-f]{32})?$/);
        expect(safe.length).toBeLessThanOrEqual(most);
        if (!safe.includes('~')) expect(decodeURIComponent(safe.replaceAll('=', '%'))).toBe(given);
      }),
      { numRuns: 2000 },
    );
  });

  it('keeps names distinct', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        fc.pre(one !== other);
        expect(safeName(one, MOST)).not.toBe(safeName(other, MOST));
      }),
      { numRuns: 2000 },
    );
  });

  it('cuts a long name between characters, and keeps long names distinct', () => {
    for (let length = 1; length <= 40; length++) {
      const names = ['x', 'y'].map((last) => safeName(`${'a'.repeat(length)}${'é'.repeat(20)}${last}`, MOST));
      expect(names[0]).toMatch(/^a+(=C3|=A9)*~[0-9a-f]{32}$/);
      expect(names[0]?.split('~')[0]).toBe(names[1]?.split('~')[0]);
      expect(names[0]).not.toBe(names[1]);
    }
  });

  it('keeps a name of the maximum length', () => {
    expect(safeName('x'.repeat(MOST), MOST)).toBe('x'.repeat(MOST));
    expect(safeName('x'.repeat(MOST + 1), MOST)).toMatch(/^x{27}~[0-9a-f]{32}$/);
  });
});

import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { decode, decodeExample, encode, encodeExample } from '../playground/share';

/** The most bytes of a program. */
const LARGEST = 200_000;

/** A fragment of bytes, made without the code under test. */
const fragmentOf = (bytes: Uint8Array): string => `#code=${Buffer.from(bytes).toString('base64url')}`;
const packed = (bytes: string | Uint8Array): string => fragmentOf(deflateRawSync(bytes));

/** Different at each place, so that it cannot be packed well. */
function noise(length: number): string {
  let state = 1;
  let text = '';
  while (text.length < length) {
    state = (state * 48_271) % 2_147_483_647;
    text += state.toString(36);
  }
  return text.slice(0, length);
}

describe('a program in a fragment', () => {
  it.each<[string, string]>([
    ['is empty', ''],
    ['is short', 'console.log(1);\n'],
    ['has other scripts and emoji', "console.log('größe, 順序, 👩‍👩‍👧', '\u0000\r\n\u2028');"],
    ['starts with a byte order mark', '\ufeffconsole.log(1);'],
    ['is as large as it may be', 'x'.repeat(LARGEST)],
    ['is as large as it may be, and not repetitive', noise(LARGEST)],
  ])('comes back if it %s', async (_name, code) => {
    const fragment = await encode(code);
    expect(fragment).toMatch(/^#code=[\w-]+$/);
    expect(await decode(fragment)).toBe(code);
    // With and without the `#` of `location.hash`.
    expect(await decode(fragment.slice(1))).toBe(code);
  });

  it('comes back, whatever it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 300 }), async (code) => {
        expect(await decode(await encode(code))).toBe(code);
      }),
      { numRuns: 300 },
    );
  });

  it('is packed', async () => {
    expect((await encode('console.log(1);\n'.repeat(1000))).length).toBeLessThan(300);
  });

  it('is read as deflated UTF-8 in base64url, so that older links stay valid', async () => {
    expect(await decode(packed('console.log("ü")'))).toBe('console.log("ü")');
    expect(await decode('#code=S87PK87PSdXLyU_XMNS0BgA')).toBe('console.log(1);');
  });

  it.each<[string, string]>([
    ['nothing', ''],
    ['only its mark', '#'],
    ['a name without a program', '#code='],
    ['no base64url', '#code=a+b/c='],
    ['a percent sign', '#code=%'],
    ['escapes', '#code=%41%42'],
    ['one character', '#code=A'],
    ['no deflated text', '#code=damaged'],
    ['ones', '#code=____'],
    ['a space', '#code=S0 '],
    ['another name', '#other=S0'],
    ['an example', '#example=retries'],
    ['an anchor', '#VPContent'],
    ['more behind it', `${packed('a')}&x=1`],
    ['the name within it', `#my${packed('a').slice(1)}`],
    ['no UTF-8', packed(Uint8Array.of(0x61, 0xff))],
    ['a cut character', packed(Buffer.from('ü').subarray(0, 1))],
    ['one byte too many', packed('x'.repeat(LARGEST + 1))],
    ['one byte too many of a long character', packed(`${'x'.repeat(LARGEST - 1)}ü`)],
    ['a bomb', packed(new Uint8Array(50_000_000))],
  ])('is undefined if the fragment has %s', async (_name, fragment) => {
    expect(await decode(fragment)).toBeUndefined();
  });

  it('is undefined wherever the link was cut off', async () => {
    const fragment = await encode(noise(300));
    for (let length = 0; length < fragment.length - 2; length++)
      expect(await decode(fragment.slice(0, length))).toBeUndefined();
  });

  it('never throws', async () => {
    const valid = deflateRawSync('const a: number = 1; // '.repeat(20));
    const damaged = fc
      .tuple(fc.nat(valid.length - 1), fc.nat(255))
      .map(([index, byte]) => fragmentOf(valid.map((one, at) => (at === index ? byte : one))));
    const fragment = fc.oneof(
      damaged,
      fc.uint8Array({ maxLength: 60 }).map(fragmentOf),
      fc.base64String().map((text) => `#code=${text}`),
      fc.string({ unit: 'binary' }),
    );
    await fc.assert(
      fc.asyncProperty(fragment, async (given) => {
        expect(['string', 'undefined']).toContain(typeof (await decode(given)));
        expect(['string', 'undefined']).toContain(typeof decodeExample(given));
      }),
      { numRuns: 500 },
    );
  });
});

describe('an example in a fragment', () => {
  it('comes back, whatever its name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (name) => {
        const fragment = encodeExample(name);
        expect(decodeExample(fragment)).toBe(name);
        expect(decodeExample(fragment.slice(1))).toBe(name);
      }),
    );
    expect(encodeExample('order-per-key')).toBe('#example=order-per-key');
  });

  it.each(['', '#', '#example=', '#example', '#example=%', '#example=%ff', '#code=abc', '#my-example=a'])(
    'is undefined in %j',
    (fragment) => {
      expect(decodeExample(fragment)).toBeUndefined();
    },
  );
});

import { deflateRawSync } from 'node:zlib';
import { decode, decodeExample, encode, encodeExample } from '../playground/share.js';

describe('A fragment with a program', () => {
  it.each(['', 'a', "console.log('ünïcode – 🚀');\n", '\uFEFFconst a = 1;', 'x'.repeat(200_000)])(
    'holds it unchanged: %.20s',
    async (code) => {
      const fragment = await encode(code);
      expect(fragment).toMatch(/^#code=[\w-]+$/);
      await expect(decode(fragment)).resolves.toBe(code);
      await expect(decode(fragment.slice(1))).resolves.toBe(code);
    },
  );

  it.each(['', '#', '#code=', '#code=%', '#code=a', '#code=damaged', '#other=S0', '#code=____', '#code=S0 '])(
    'is refused without an error if it is damaged: %s',
    async (fragment) => {
      await expect(decode(fragment)).resolves.toBeUndefined();
    },
  );

  it('is refused if it is cut off', async () => {
    const fragment = await encode("console.log('a program that is long enough to be cut');");
    for (let length = '#code='.length; length < fragment.length; length++)
      await expect(decode(fragment.slice(0, length))).resolves.toBeUndefined();
  });

  it('is refused if it holds too much, or no text', async () => {
    const packed = (bytes: Uint8Array) => `#code=${deflateRawSync(bytes).toString('base64url')}`;
    await expect(decode(packed(new Uint8Array(200_000).fill(97)))).resolves.toHaveLength(200_000);
    await expect(decode(packed(new Uint8Array(200_001).fill(97)))).resolves.toBeUndefined();
    await expect(decode(packed(new Uint8Array(100_000_000)))).resolves.toBeUndefined();
    await expect(decode(packed(Uint8Array.of(0xff, 0xfe)))).resolves.toBeUndefined();
  });
});

describe('A fragment with an example', () => {
  it('holds its name', () => {
    expect(decodeExample(encodeExample('first-message'))).toBe('first-message');
    expect(decodeExample(encodeExample('a b/#'))).toBe('a b/#');
  });

  it.each(['', '#', '#code=S0', '#example=', '#example=%'])('is refused if it is damaged: %s', (fragment) => {
    expect(decodeExample(fragment)).toBeUndefined();
  });
});

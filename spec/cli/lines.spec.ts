import { Readable } from 'node:stream';
import * as fc from 'fast-check';
import { linesOf } from '../../src/cli/lines.js';

async function read(chunks: readonly Buffer[], signal = new AbortController().signal): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of linesOf(Readable.from(chunks), signal)) lines.push(line);
  return lines;
}

/** Cuts bytes at some places. */
function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...places, bytes.length]
    .map((place) => Math.min(place, bytes.length))
    .sort((one, other) => one - other);
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)).filter(({ length }) => length > 0);
}

describe('linesOf', () => {
  it('reads the same lines wherever the stream is cut, also within a character', async () => {
    const line = fc.string({ unit: 'grapheme' }).map((text) => text.replaceAll(/[\n\ufeff]/g, ''));
    await fc.assert(
      fc.asyncProperty(fc.array(line), fc.array(fc.nat(200)), fc.boolean(), async (lines, places, endsWithNewline) => {
        const text = lines.map((each) => `${each}\n`).join('') + (endsWithNewline ? '' : 'last');
        const expected = endsWithNewline ? lines : [...lines, 'last'];
        expect(await read(cut(Buffer.from(text), places))).toEqual(expected);
      }),
    );
  });

  it('refuses a line that is not UTF-8, after the lines before it', async () => {
    const bytes = Buffer.concat([Buffer.from('one\ntwo\n'), Buffer.from([0xc3, 0x28, 0x0a]), Buffer.from('four\n')]);
    const lines: string[] = [];
    const reading = (async () => {
      for await (const line of linesOf(Readable.from([bytes]), new AbortController().signal)) lines.push(line);
    })();
    await expect(reading).rejects.toThrow('Expected UTF-8');
    expect(lines).toEqual(['one', 'two']);
  });

  it('ends when the signal aborts while it waits for input', async () => {
    const stop = new AbortController();
    const input = new Readable({ read() {} });
    input.push('one\n');
    const lines: string[] = [];
    for await (const line of linesOf(input, stop.signal)) {
      lines.push(line);
      queueMicrotask(() => stop.abort());
    }
    expect(lines).toEqual(['one']);
  });

  it('reads no further than its lines are used', async () => {
    let pulled = 0;
    const input = Readable.from(
      (function* () {
        for (; pulled < 10_000; pulled++) yield Buffer.from(`${pulled}\n`);
      })(),
    );
    for await (const line of linesOf(input, new AbortController().signal)) if (line === '9') break;
    expect(pulled).toBeLessThan(100);
  });
});

import type { Readable } from 'node:stream';

const NEWLINE = 0x0a;

/**
 * Reads a stream line by line, and no faster than the lines are used.
 *
 * @param signal ends the iteration, also while it waits for a line
 * @throws {Error} (a rejection) if a line is not valid UTF-8
 */
export async function* linesOf(input: Readable, signal: AbortSignal): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (parts: readonly Buffer[]) => {
    try {
      return decoder.decode(Buffer.concat(parts));
    } catch (error) {
      throw new Error('Expected UTF-8', { cause: error });
    }
  };
  const end = () => void input.destroy();
  signal.addEventListener('abort', end);
  let parts: Buffer[] = [];
  try {
    for await (const chunk of input as AsyncIterable<Buffer>) {
      let start = 0;
      for (let stop = chunk.indexOf(NEWLINE); stop >= 0; stop = chunk.indexOf(NEWLINE, start)) {
        yield decode([...parts, chunk.subarray(start, stop)]);
        if (signal.aborted) return;
        parts = [];
        start = stop + 1;
      }
      if (start < chunk.length) parts.push(chunk.subarray(start));
    }
    if (parts.length > 0) yield decode(parts);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    signal.removeEventListener('abort', end);
  }
}

/** The most bytes of a program in a fragment. */
const LARGEST = 200_000;

/** Whether a fragment can hold a program, which may have 200 kB. */
export function isShareable(code: string): boolean {
  return new TextEncoder().encode(code).length <= LARGEST;
}

/** Whether a fragment is meant to name a program. Others are anchors of the page. */
export function isProgram(fragment: string): boolean {
  return /^#?(?:code|example)=/.test(fragment);
}

/** Returns the fragment that holds a program: `#code=…`. */
export async function encode(code: string): Promise<string> {
  const packed = await transformed(new TextEncoder().encode(code), new CompressionStream('deflate-raw'), Infinity);
  return `#code=${toBase64Url(packed ?? new Uint8Array())}`;
}

/** Returns the program in a fragment; undefined if it holds none, or a damaged or too large one. */
export async function decode(fragment: string): Promise<string | undefined> {
  const packed = /^#?code=([\w-]+)$/.exec(fragment)?.[1];
  if (packed === undefined) return undefined;
  try {
    const bytes = await transformed(fromBase64Url(packed), new DecompressionStream('deflate-raw'), LARGEST);
    return bytes && new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    // Damaged: the link was cut off or mistyped.
    return undefined;
  }
}

/** Returns the fragment that names an example: `#example=NAME`. */
export function encodeExample(name: string): string {
  return `#example=${encodeURIComponent(name)}`;
}

/** Returns the name of the example in a fragment; undefined if it names none. */
export function decodeExample(fragment: string): string | undefined {
  const name = /^#?example=(.+)$/.exec(fragment)?.[1];
  if (name === undefined) return undefined;
  try {
    return decodeURIComponent(name);
  } catch {
    return undefined;
  }
}

/** Returns what comes out of a stream; undefined if that is larger than the limit. */
async function transformed(
  input: Uint8Array<ArrayBuffer>,
  stream: CompressionStream | DecompressionStream,
  limit: number,
): Promise<Uint8Array | undefined> {
  const reader = new Blob([input]).stream().pipeThrough(stream).getReader() as ReadableStreamDefaultReader<Uint8Array>;
  const parts: Uint8Array[] = [];
  let size = 0;
  // A small fragment can hold gigabytes of zeros, so the limit is checked while it is read.
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.length;
    if (size > limit) {
      await reader.cancel();
      return undefined;
    }
    parts.push(part.value);
  }
  const output = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    output.set(part, offset);
    offset += part.length;
  }
  return output;
}

function toBase64Url(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
}

function fromBase64Url(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

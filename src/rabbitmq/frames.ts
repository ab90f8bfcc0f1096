/**
 * How deep headers may be nested, the table itself included. The client decodes by recursion: headers that are nested some thousands deep overflow its stack,
 * and it drops the connection each time that the broker delivers them.
 */
export const MOST_DEPTH = 100;

/** Less is in no table that is nested too deep: each level takes a type and a length, in bytes. */
const LEAST_DEEP = MOST_DEPTH * 5;

/** The types of AMQP whose values begin with their length. */
const TABLE = 'F'.charCodeAt(0);
const ARRAY = 'A'.charCodeAt(0);
const BYTES = 'x'.charCodeAt(0);
const STRING = 'S'.charCodeAt(0);

/** How many bytes the values of the other types take. */
const SIZES = new Map(
  Object.entries({ V: 0, t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, f: 4, D: 5, l: 8, L: 8, T: 8, d: 8 }).map(
    ([type, size]) => [type.charCodeAt(0), size],
  ),
);

const LENGTH = 4;

/** A frame begins with its type, its channel and the length of its content, which is followed by one byte. */
const FRAME_START = 7;
const HEADER_FRAME = 2;
const FRAME_LENGTH = 3;

/** Where the properties of a content header begin: after its class, its weight, the size of the body, and the flags that say which properties there are. */
const FLAGS = 12;
const PROPERTIES = 14;
const CONTENT_TYPE = 0x8000;
const CONTENT_ENCODING = 0x4000;
const HEADERS = 0x2000;

/** What a client reads from. */
export interface Source {
  read?: (size?: number) => unknown;
}

const flattened = new WeakSet<Source>();

/**
 * Has a client decode any headers, see `flattenHeaders`. The client reads the start of a frame, then its content; if it reads its socket otherwise than today,
 * the only loss is this.
 */
export function flattenAllHeaders(client: object): void {
  const { _socket: socket } = client as { _socket?: Source };
  const read = socket?.read;
  if (socket === undefined || read === undefined || flattened.has(socket)) return;
  flattened.add(socket);
  // The bytes of the header frame that is read next.
  let expected: number | undefined;
  socket.read = (size) => {
    const bytes = read.call(socket, size);
    if (!Buffer.isBuffer(bytes)) return bytes;
    if (bytes.length === expected) {
      flattenHeaders(bytes);
      expected = undefined;
    } else if (bytes.length === FRAME_START)
      expected = bytes[0] === HEADER_FRAME ? bytes.readUInt32BE(FRAME_LENGTH) + 1 : undefined;
    return bytes;
  };
}

/**
 * Turns what is nested too deep in the headers of a message into bytes, which the client does not look into: a table, an array and bytes differ in their type
 * only. Changes the content of the header frame in place.
 */
export function flattenHeaders(frame: Buffer): void {
  if (frame.length < PROPERTIES + LEAST_DEEP) return;
  const flags = frame.readUInt16BE(FLAGS);
  if ((flags & HEADERS) === 0) return;
  let at = PROPERTIES;
  for (const before of [CONTENT_TYPE, CONTENT_ENCODING]) if ((flags & before) !== 0) at += 1 + (frame[at] ?? 0);
  const length = lengthAt(frame, at);
  if (length >= LEAST_DEEP) flattenTable(frame, at + LENGTH, at + LENGTH + length);
}

/** Stops where something is no table as AMQP has it: that is for the client to refuse. */
function flattenTable(frame: Buffer, start: number, end: number): void {
  // The tables and arrays around a place, from the outside: where each ends, and whether its values have keys.
  const around = [{ end, hasKeys: true }];
  let at = start;
  for (;;) {
    const inner = around.at(-1);
    if (inner === undefined || at >= frame.length) return;
    if (at >= inner.end) {
      around.pop();
      continue;
    }
    if (inner.hasKeys) at += 1 + (frame[at] ?? 0);
    const type = frame[at] ?? 0;
    const isContainer = type === TABLE || type === ARRAY;
    if (isContainer && around.length === MOST_DEPTH) frame[at] = BYTES;
    at += 1;
    if (isContainer && around.length < MOST_DEPTH) {
      around.push({ end: at + LENGTH + lengthAt(frame, at), hasKeys: type === TABLE });
      at += LENGTH;
    } else if (isContainer || type === STRING || type === BYTES) at += LENGTH + lengthAt(frame, at);
    else {
      const size = SIZES.get(type);
      if (size === undefined) return;
      at += size;
    }
  }
}

function lengthAt(frame: Buffer, at: number): number {
  return at + LENGTH > frame.length ? 0 : frame.readUInt32BE(at);
}

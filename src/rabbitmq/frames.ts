import type { Client } from './client.js';
import { type ClientSocket, socketOf } from './client-internals.js';

/**
 * How deep headers may be nested, the table itself included. The client decodes them by recursion.
 * Headers that are nested thousands of levels deep overflow its stack, and it drops the connection
 * each time that the broker delivers them.
 */
export const MOST_DEPTH = 100;

/** A smaller table, in bytes, is not nested too deep: each level takes a type and a length. */
const LEAST_DEEP = MOST_DEPTH * 5;

/** The types of AMQP whose values begin with a length. */
const TABLE = 'F'.charCodeAt(0);
const ARRAY = 'A'.charCodeAt(0);
const BYTES = 'x'.charCodeAt(0);
const STRING = 'S'.charCodeAt(0);

/** The bytes of a value of each other type. */
const SIZES = new Map(
  Object.entries({ V: 0, t: 1, b: 1, B: 1, s: 2, u: 2, I: 4, i: 4, f: 4, D: 5, l: 8, L: 8, T: 8, d: 8 }).map(
    ([type, size]) => [type.charCodeAt(0), size],
  ),
);

const LENGTH = 4;

/** A frame is its type, its channel, the length of its content, the content, and one more byte. */
const FRAME_START = 7;
const HEADER_FRAME = 2;
const FRAME_LENGTH = 3;

/** The properties follow the class, the weight, the size of the body, and their flags. */
const FLAGS = 12;
const PROPERTIES = 14;
const CONTENT_TYPE = 0x8000;
const CONTENT_ENCODING = 0x4000;
const HEADERS = 0x2000;

const patched = new WeakSet<ClientSocket>();

/** Flattens the headers that a client reads. The client reads the start of a frame first. */
export function flattenAllHeaders(client: object): void {
  const socket = socketOf(client);
  const read = socket?.read;
  if (socket === undefined || read === undefined || patched.has(socket)) return;
  patched.add(socket);
  /** The length of the header frame that is read next. */
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

/** The most bytes of a frame on a connection that a backend opens: the default of servers. */
export const FRAME_MAX = 131_072;

/**
 * How many bytes the client may read at once when it is connected. The server adds the queues that
 * a delayed message has passed to its headers, even if the headers exceed a frame then.
 */
const MOST_READ = 2 * 1024 * 1024;

/**
 * Ends a new connection if the server does not speak AMQP. The client would take any bytes for the
 * length of a frame, then wait for that many bytes, or throw in an event handler of its socket,
 * where the error cannot be caught.
 * @param onGreeting called with the parts of the frames that the server sends before it is connected
 */
export function refuseOtherProtocols(client: Client, onGreeting: (bytes: Buffer) => void): void {
  const socket = socketOf(client);
  const read = socket?.read;
  if (socket === undefined || read === undefined) return;
  // A frame ends with one more byte.
  let most = FRAME_MAX + 1;
  let isConnected = false;
  client.on('connection', () => {
    most = MOST_READ;
    isConnected = true;
  });
  socket.read = (size) => {
    if (size === undefined || size <= most) {
      const bytes = read.call(socket, size);
      if (!isConnected && Buffer.isBuffer(bytes)) onGreeting(bytes);
      return bytes;
    }
    socket.destroy?.(Object.assign(new Error('It does not speak AMQP'), { code: 'FRAME_ERROR' }));
    return null;
  };
}

/**
 * Turns values that are nested too deep in the headers of a message into bytes, which the client
 * does not decode: a table, an array and bytes differ in their type only. Changes the frame in
 * place.
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

/** Stops at the first byte that breaks the format: the client refuses such a frame. */
function flattenTable(frame: Buffer, start: number, end: number): void {
  // The tables and arrays around the current byte, the outermost first.
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

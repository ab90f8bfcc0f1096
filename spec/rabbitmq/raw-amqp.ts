import type { Connection } from 'rabbitmq-client';

/** A message in the bytes of AMQP, with headers that no client would write. */
export interface RawMessage {
  readonly contentType?: string;
  readonly messageId: string;
  readonly type: string;
  /** A table, including its length. */
  readonly headers: Buffer;
  readonly body: Buffer;
}

const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 206;

const BASIC = 60;
const PUBLISH = 40;

function shortString(text: string): Buffer {
  return Buffer.from([text.length, ...Buffer.from(text)]);
}

function withLength(content: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(content.length);
  return Buffer.concat([length, content]);
}

/** Makes a table with this many tables nested under the key `deep`, beside plain values. */
export function deepTable(levels: number, values: Readonly<Record<string, string | number>> = {}): Buffer {
  const fields = Object.entries(values).map(([key, value]) => {
    if (typeof value === 'string')
      return Buffer.concat([shortString(key), Buffer.from('S'), withLength(Buffer.from(value))]);
    const number = Buffer.alloc(8);
    number.writeBigInt64BE(BigInt(value));
    return Buffer.concat([shortString(key), Buffer.from('l'), number]);
  });
  // Each level is a key of one letter, the type of a table, and its length.
  const deep = Buffer.alloc(7 * (levels - 1));
  for (let level = 0; level < levels - 1; level++) {
    const at = 7 * level;
    deep.write('\u0001aF', at, 'latin1');
    deep.writeUInt32BE(deep.length - at - 7, at + 3);
  }
  return withLength(Buffer.concat([...fields, shortString('deep'), Buffer.from('F'), withLength(deep)]));
}

/** The content of a header frame, with the byte that ends the frame. */
export function contentHeader({ contentType, messageId, type, headers, body }: RawMessage): Buffer {
  const start = Buffer.alloc(14);
  start.writeUInt16BE(BASIC, 0);
  start.writeBigUInt64BE(BigInt(body.length), 4);
  start.writeUInt16BE((contentType === undefined ? 0 : 0x8000) | 0x2000 | 0x0080 | 0x0020, 12);
  const first = contentType === undefined ? [] : [shortString(contentType)];
  return Buffer.concat([start, ...first, headers, shortString(messageId), shortString(type), Buffer.from([FRAME_END])]);
}

function frame(kind: number, channel: number, content: Buffer): Buffer {
  const start = Buffer.alloc(7);
  start.writeUInt8(kind, 0);
  start.writeUInt16BE(channel, 1);
  start.writeUInt32BE(content.length, 3);
  return Buffer.concat([start, content, Buffer.from([FRAME_END])]);
}

/** Publishes a message byte by byte and waits until the broker has read it. */
export async function publishRaw(client: Connection, exchange: string, message: RawMessage): Promise<void> {
  const channel = await client.acquire();
  const method = Buffer.alloc(6);
  method.writeUInt16BE(BASIC, 0);
  method.writeUInt16BE(PUBLISH, 2);
  const { _socket: socket } = client as unknown as { _socket: { write(bytes: Buffer): unknown } };
  socket.write(
    Buffer.concat([
      frame(METHOD, channel.id, Buffer.concat([method, shortString(exchange), shortString(''), Buffer.from([0])])),
      frame(HEADER, channel.id, contentHeader(message).subarray(0, -1)),
      frame(BODY, channel.id, message.body),
    ]),
  );
  await channel.basicQos({ prefetchCount: 1 });
  await channel.close();
}

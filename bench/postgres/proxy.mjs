import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const QUERY = 'Q'.charCodeAt(0);
const EXECUTE = 'E'.charCodeAt(0);

/** The type and the length of a message. */
const HEAD = 5;

/**
 * Starts a proxy in front of the server at a `url`, which counts the statements that clients send.
 * The counters of the server itself also count its own work.
 */
export async function countStatements(url) {
  const { hostname, port } = new URL(url);
  let count = 0;
  const server = createServer((client) => {
    const upstream = connect({ host: hostname, port: Number(port) });
    client.on(
      'data',
      messageTypes((type) => {
        if (type === QUERY || type === EXECUTE) count++;
      }),
    );
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => [client, upstream].map((one) => one.destroy()));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = new URL(url);
  own.port = String(server.address().port);
  return { url: own.href, statements: () => count };
}

/**
 * Returns a function that receives the data of a client and calls `onType` with the type of each
 * message. The first message has none.
 */
function messageTypes(onType) {
  let rest = Buffer.alloc(0);
  let started = false;
  return (data) => {
    rest = Buffer.concat([rest, data]);
    for (;;) {
      const typeLength = started ? 1 : 0;
      if (rest.length < HEAD) return;
      const end = typeLength + rest.readUInt32BE(typeLength);
      if (rest.length < end) return;
      if (started) onType(rest[0]);
      started = true;
      rest = rest.subarray(end);
    }
  };
}

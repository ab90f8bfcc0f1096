import { connect } from 'node:net';

/** What a NATS server sends first. */
const GREETING = 'INFO ';

/**
 * Waits until a server greets, over a connection of its own.
 *
 * Works around a defect of `@nats-io/transport-node` (3.0 to 3.4): `NodeTransport.close()` does not destroy its socket before the server has sent `INFO`. After the timeout of
 * `connect`, the socket stays open for as long as the process and the server live, one for each attempt. `spec/nats/client-internals.spec.ts` tells when that is mended.
 * @param address host and port
 * @param patience in milliseconds
 * @param signal ends the wait
 * @throws (a rejection) if the server does not greet in time
 */
export function greeted(address: string, patience: number, signal: AbortSignal): Promise<void> {
  const at = address.lastIndexOf(':');
  const host = address.slice(0, at).replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: Number(address.slice(at + 1)) });
    const end = (error?: Error) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const stop = () => end(new Error('The connection was closed'));
    signal.addEventListener('abort', stop);
    const timer = setTimeout(() => end(new Error('NATS did not answer in time')), patience);
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (text) => {
      received += text;
      const expected = GREETING.slice(0, received.length);
      if (!received.startsWith(expected))
        end(new Error('unexpected response from server: it does not greet as NATS does'));
      else if (received.length >= GREETING.length) end();
    });
    socket.on('error', end);
    socket.on('close', () => end(new Error('The connection was closed before the server said anything')));
  });
}

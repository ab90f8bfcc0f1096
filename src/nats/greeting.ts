import { connect } from 'node:net';

/** What a NATS server says first. */
const GREETING = 'INFO ';

/**
 * Waits until a server greets. The client, where one accepts a connection and says nothing, gives up in time and leaves the connection open for good; so nobody
 * that does not greet is left to it.
 * @param address host and port
 * @param patience in milliseconds
 * @param signal ends the wait
 * @throws (a rejection) where it does not, in time
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
    let said = '';
    socket.setEncoding('latin1');
    socket.on('data', (text) => {
      said += text;
      const expected = GREETING.slice(0, said.length);
      if (!said.startsWith(expected)) end(new Error('unexpected response from server: it does not greet as NATS does'));
      else if (said.length >= GREETING.length) end();
    });
    socket.on('error', end);
    socket.on('close', () => end(new Error('The connection was closed before the server said anything')));
  });
}

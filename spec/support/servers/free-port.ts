import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/**
 * Below the ports that systems give to outgoing connections (from 32,768 on Linux, from 49,152 on macOS). A server that is restarted must find its
 * port free: a client that tries to reconnect meanwhile would now and then be given that very port for its own end, and then hold it.
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;

export async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

/** A port of 127.0.0.1 that was free a moment ago. Another process may take it first: whoever binds it must be ready to ask for the next one. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1));
    const server = createServer();
    try {
      await listen(server, port);
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

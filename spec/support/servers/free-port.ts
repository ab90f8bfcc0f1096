import { once } from 'node:events';
import { createServer, type Server } from 'node:net';

/**
 * The range below the ports that systems assign to outgoing connections (from 32,768 on Linux, from
 * 49,152 on macOS).
 * A restarted server must find its port free. Otherwise, a client that reconnects meanwhile may be
 * assigned that port for its own end and occupy it.
 */
const LOWEST = 20_000;
const HIGHEST = 32_767;

export async function listen(server: Server, port: number): Promise<void> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
}

/**
 * Returns a port of 127.0.0.1 that was free a moment ago. Another process may take it first, so the
 * caller must be ready to ask for another port.
 */
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

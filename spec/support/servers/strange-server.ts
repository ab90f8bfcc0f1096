import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

/** A TCP server that its clients do not expect. */
export class StrangeServer {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(serve: (socket: Socket) => void) {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket.on('close', () => this.#sockets.delete(socket)).on('error', () => undefined));
      serve(socket);
    });
  }

  /** Starts a server. @param serve handles each connection */
  static async start(serve: (socket: Socket) => void): Promise<StrangeServer> {
    const server = new StrangeServer(serve);
    server.#server.listen(0, '127.0.0.1');
    await once(server.#server, 'listening');
    return server;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Speaks the protocol of Redis: `answer` returns the bytes for each command. */
export function speakRedis(answer: (command: readonly string[]) => string): (socket: Socket) => void {
  return (socket) => {
    let received = '';
    socket.setEncoding('utf8').on('data', (text: string) => {
      received += text;
      for (let found = firstCommand(received); found !== undefined; found = firstCommand(received)) {
        received = received.slice(found.length);
        socket.write(answer(found.command));
      }
    });
  };
}

/** Encodes a bulk string of Redis. */
export function bulk(text: string): string {
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

/** Returns the first complete command of the received text. Each character is one byte. */
export function firstCommand(
  text: string,
): { readonly command: readonly string[]; readonly length: number } | undefined {
  const lines = text.split('\r\n');
  const count = Number(lines[0]?.slice(1));
  const end = 1 + 2 * count;
  if (!(lines.length > end)) return undefined;
  const command = lines.slice(1, end).filter((_, index) => index % 2 === 1);
  return { command, length: lines.slice(0, end).join('\r\n').length + 2 };
}

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort, listen } from './free-port.js';

/** Which bytes: those from the client to the target, those from the target to the client, or all. */
export type Direction = 'to-target' | 'to-client' | 'both';

type OneWay = Exclude<Direction, 'both'>;

const ways = (direction: Direction): readonly OneWay[] =>
  direction === 'both' ? ['to-target', 'to-client'] : [direction];

/** Both ends of a connection; bytes that go `to-target` are read from the client. */
interface Link {
  readonly client: Socket;
  readonly target: Socket;
}

const readerOf = (link: Link, way: OneWay): Socket => (way === 'to-target' ? link.client : link.target);

/** A TCP proxy that does to connections what networks do: it slows them down, stalls them, cuts them and refuses them. */
export class TcpProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #stalled = new Set<OneWay>();
  readonly #silent = new WeakSet<Link>();
  /** Bytes in a second, each way of each connection. */
  #speed = Number.POSITIVE_INFINITY;
  /** Those that take a rest, after what they have read. */
  readonly #resting = new Set<Socket>();
  readonly #bytes = { 'to-target': 0, 'to-client': 0 };
  #port = 0;
  #targetPort: number;
  #accepted = 0;

  private constructor(targetPort: number) {
    this.#targetPort = targetPort;
    this.#server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
      this.#accepted += 1;
      const target = connect({ port: this.#targetPort, host: '127.0.0.1', allowHalfOpen: true });
      this.#join({ client, target });
    });
  }

  /** Starts one in front of a port of 127.0.0.1. */
  static async start(targetPort: number): Promise<TcpProxy> {
    for (;;) {
      const proxy = new TcpProxy(targetPort);
      proxy.#port = await freePort();
      try {
        await listen(proxy.#server, proxy.#port);
        return proxy;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
      }
    }
  }

  get port(): number {
    return this.#port;
  }

  /** How many connections are open. */
  get connections(): number {
    return this.#links.size;
  }

  /** How many connections there have been. */
  get accepted(): number {
    return this.#accepted;
  }

  /** How many bytes have been passed on. */
  get bytes(): Readonly<Record<OneWay, number>> {
    return { ...this.#bytes };
  }

  /** Leads new connections to another port of 127.0.0.1; those that are open stay. */
  retarget(port: number): void {
    this.#targetPort = port;
  }

  /** Passes no more than so many bytes in a second, each way of each connection. */
  throttle(bytesPerSecond: number): void {
    this.#speed = bytesPerSecond;
  }

  /** Keeps and accepts connections, and passes nothing on: not even that one end has closed. What was sent meanwhile arrives after `resume()`. */
  stall(direction: Direction = 'both'): void {
    for (const way of ways(direction)) {
      this.#stalled.add(way);
      for (const link of this.#links) readerOf(link, way).pause();
    }
  }

  resume(): void {
    this.#stalled.clear();
    for (const link of this.#links) for (const way of ways('both')) this.#read(link, way);
  }

  /** Passes nothing on any more over the connections that are open, not even that one end has closed; new ones work. */
  silence(): void {
    for (const link of this.#links) {
      this.#silent.add(link);
      for (const way of ways('both')) readerOf(link, way).pause();
    }
  }

  /** Destroys all connections, with what they have not passed on. */
  cut(): void {
    for (const link of this.#links) this.#drop(link);
  }

  /** Refuses new connections; those that are open stay. */
  async refuse(): Promise<void> {
    if (!this.#server.listening) return;
    // Its `close` event waits for the open connections; the port is free at once.
    this.#server.close();
  }

  /** Accepts new connections again, on the same port. */
  async accept(): Promise<void> {
    if (!this.#server.listening) await listen(this.#server, this.#port);
  }

  async stop(): Promise<void> {
    this.cut();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(link: Link): void {
    this.#links.add(link);
    for (const way of ways('both')) {
      const reader = readerOf(link, way);
      const writer = way === 'to-target' ? link.target : link.client;
      reader.on('data', (chunk: Buffer) => {
        this.#bytes[way] += chunk.length;
        if (!writer.write(chunk)) reader.pause();
        this.#rest(link, way, chunk.length);
      });
      writer.on('drain', () => this.#read(link, way));
      reader.on('end', () => writer.end());
      // A connection that is reset closes the other end, too: `close` follows.
      reader.on('error', () => undefined);
      reader.on('close', (failed) => {
        if (failed || writer.destroyed) this.#drop(link);
      });
      // Listening to `data` has set it going.
      if (this.#stalled.has(way)) reader.pause();
      else this.#read(link, way);
    }
  }

  #read(link: Link, way: OneWay): void {
    const reader = readerOf(link, way);
    if (!this.#stalled.has(way) && !this.#silent.has(link) && !this.#resting.has(reader)) reader.resume();
  }

  #rest(link: Link, way: OneWay, bytes: number): void {
    if (this.#speed === Number.POSITIVE_INFINITY) return;
    const reader = readerOf(link, way);
    reader.pause();
    this.#resting.add(reader);
    setTimeout(
      () => {
        this.#resting.delete(reader);
        this.#read(link, way);
      },
      (bytes / this.#speed) * 1000,
    ).unref();
  }

  #drop(link: Link): void {
    this.#links.delete(link);
    link.client.destroy();
    link.target.destroy();
  }
}

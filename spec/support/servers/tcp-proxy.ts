import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort, listen } from './free-port.js';

/** A direction: from the client to the target, from the target to the client, or both. */
export type Direction = 'to-target' | 'to-client' | 'both';

type OneWay = Exclude<Direction, 'both'>;

const ways = (direction: Direction): readonly OneWay[] =>
  direction === 'both' ? ['to-target', 'to-client'] : [direction];

/** Both ends of a connection. `to-target` bytes are read from the client. */
interface Link {
  readonly client: Socket;
  readonly target: Socket;
}

const readerOf = (link: Link, way: OneWay): Socket => (way === 'to-target' ? link.client : link.target);

/**
 * A TCP proxy that simulates network faults: it throttles, stalls, cuts and refuses connections.
 */
export class TcpProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #stalled = new Set<OneWay>();
  readonly #silent = new WeakSet<Link>();
  /** The maximum number of bytes per second, for each direction of each connection. */
  #speed = Number.POSITIVE_INFINITY;
  /** The sockets that pause to limit the speed. */
  readonly #paused = new Set<Socket>();
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

  /** Starts a proxy in front of a port of 127.0.0.1. */
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

  /** The number of open connections. */
  get connections(): number {
    return this.#links.size;
  }

  /** The number of accepted connections. */
  get accepted(): number {
    return this.#accepted;
  }

  /** The number of passed bytes. */
  get bytes(): Readonly<Record<OneWay, number>> {
    return { ...this.#bytes };
  }

  /** Connects new clients to another port of 127.0.0.1. Open connections stay. */
  retarget(port: number): void {
    this.#targetPort = port;
  }

  /** Limits the bytes per second, for each direction of each connection. */
  throttle(bytesPerSecond: number): void {
    this.#speed = bytesPerSecond;
  }

  /**
   * Keeps and accepts connections, but passes nothing, not even the end of a connection. What is
   * sent meanwhile arrives after `resume()`.
   */
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

  /** Stops passing anything over the open connections, not even their end. New ones work. */
  silence(): void {
    for (const link of this.#links) {
      this.#silent.add(link);
      for (const way of ways('both')) readerOf(link, way).pause();
    }
  }

  /** Destroys all connections and the bytes that were not passed. */
  cut(): void {
    for (const link of this.#links) this.#drop(link);
  }

  /** Refuses new connections. Open connections stay. */
  async refuse(): Promise<void> {
    if (!this.#server.listening) return;
    // The `close` event waits for the open connections, but the port is free immediately.
    this.#server.close();
  }

  /** Accepts new connections on the same port. */
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
        this.#pause(link, way, chunk.length);
      });
      writer.on('drain', () => this.#read(link, way));
      reader.on('end', () => writer.end());
      // If a connection is reset, the other end is closed too: `close` follows.
      reader.on('error', () => undefined);
      reader.on('close', (failed) => {
        if (failed || writer.destroyed) this.#drop(link);
      });
      // Adding a `data` listener has resumed the socket.
      if (this.#stalled.has(way)) reader.pause();
      else this.#read(link, way);
    }
  }

  #read(link: Link, way: OneWay): void {
    const reader = readerOf(link, way);
    if (!this.#stalled.has(way) && !this.#silent.has(link) && !this.#paused.has(reader)) reader.resume();
  }

  #pause(link: Link, way: OneWay, bytes: number): void {
    if (this.#speed === Number.POSITIVE_INFINITY) return;
    const reader = readerOf(link, way);
    reader.pause();
    this.#paused.add(reader);
    setTimeout(
      () => {
        this.#paused.delete(reader);
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

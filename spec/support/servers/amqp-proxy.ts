import { connect, type Socket } from 'node:net';
import { StrangeServer } from './strange-server.js';

/** The answers of an AMQP server, by class and method. */
const ANSWERS = {
  'connection.start': '10.10',
  'connection.tune': '10.30',
  'connection.open-ok': '10.41',
  'connection.close-ok': '10.51',
  'channel.open-ok': '20.11',
  'channel.close-ok': '20.41',
  'exchange.declare-ok': '40.11',
  'exchange.bind-ok': '40.31',
  'queue.declare-ok': '50.11',
  'queue.bind-ok': '50.21',
  'basic.qos-ok': '60.11',
  'basic.consume-ok': '60.21',
  'basic.cancel-ok': '60.31',
  'basic.ack': '60.80',
  'confirm.select-ok': '85.11',
} as const;

export type Answer = keyof typeof ANSWERS;

// Type, channel and size precede the content of a frame. One byte follows it.
const HEAD = 7;
const TAIL = 1;
const METHOD = 1;

/** A proxy in front of an AMQP server. It can swallow one answer or all answers of a kind. */
export class AmqpProxy {
  readonly #target: number;
  readonly #server: Promise<StrangeServer>;
  #chosen: { readonly method: string; passes: number; left: number } | undefined;
  #swallowed = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = StrangeServer.start((client) => this.#join(client));
  }

  /** Starts a proxy in front of a port of 127.0.0.1. */
  static async start(target: number): Promise<AmqpProxy> {
    const proxy = new AmqpProxy(target);
    await proxy.#server;
    return proxy;
  }

  /** Passes `passes` answers of a kind, swallows the next one, and passes all later ones. */
  swallow(answer: Answer, passes = 0): void {
    this.#chosen = { method: ANSWERS[answer], passes, left: 1 };
  }

  /** Passes `passes` answers of a kind and swallows all later ones. */
  swallowAll(answer: Answer, passes = 0): void {
    this.#chosen = { method: ANSWERS[answer], passes, left: Number.POSITIVE_INFINITY };
  }

  /** The number of swallowed answers. */
  get swallowed(): number {
    return this.#swallowed;
  }

  async port(): Promise<number> {
    return (await this.#server).port;
  }

  async stop(): Promise<void> {
    await (await this.#server).stop();
  }

  #join(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1');
    // When the client disconnects, the server may still send the answer to swallow.
    client.on('error', () => undefined).on('close', () => server.end());
    server.on('error', () => undefined).on('close', () => client.destroy());
    client.pipe(server);
    let received: Buffer = Buffer.alloc(0);
    server.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      for (;;) {
        if (received.length < HEAD) return;
        const end = HEAD + received.readUInt32BE(3) + TAIL;
        if (received.length < end) return;
        const frame = received.subarray(0, end);
        received = received.subarray(end);
        if (!this.#swallows(frame)) client.write(frame);
      }
    });
  }

  #swallows(frame: Buffer): boolean {
    const chosen = this.#chosen;
    if (chosen === undefined || frame[0] !== METHOD) return false;
    if (chosen.method !== `${frame.readUInt16BE(HEAD)}.${frame.readUInt16BE(HEAD + 2)}`) return false;
    if (chosen.passes-- > 0) return false;
    if (--chosen.left === 0) this.#chosen = undefined;
    this.#swallowed += 1;
    return true;
  }
}

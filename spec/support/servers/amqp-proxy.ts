import { connect, type Socket } from 'node:net';
import { StrangeServer } from './strange-server.js';

/** What a server of AMQP answers, by its class and method. */
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

/** Type, channel and size come before the content of a frame, one byte after it. */
const HEAD = 7;
const TAIL = 1;
const METHOD = 1;

/** A proxy in front of a server of AMQP, which can swallow its answers: one, or all of a kind. */
export class AmqpProxy {
  readonly #target: number;
  readonly #server: Promise<StrangeServer>;
  #chosen: { readonly method: string; passes: number; left: number } | undefined;
  #swallowed = 0;

  private constructor(target: number) {
    this.#target = target;
    this.#server = StrangeServer.start((client) => this.#join(client));
  }

  /** Starts one in front of a port of 127.0.0.1. */
  static async start(target: number): Promise<AmqpProxy> {
    const proxy = new AmqpProxy(target);
    await proxy.#server;
    return proxy;
  }

  /** Passes on an answer so many times from now on, swallows the next one, and passes on everything after. */
  swallow(answer: Answer, passes = 0): void {
    this.#chosen = { method: ANSWERS[answer], passes, left: 1 };
  }

  /** Passes on an answer so many times from now on, and swallows it each time after. */
  swallowAll(answer: Answer, passes = 0): void {
    this.#chosen = { method: ANSWERS[answer], passes, left: Number.POSITIVE_INFINITY };
  }

  /** How many answers were swallowed. */
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
    // What the server still answers may be what is to be swallowed.
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

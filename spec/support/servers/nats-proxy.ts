import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort, listen } from './free-port.js';

/** A control line of the protocol with its payload. */
interface Frame {
  readonly tokens: readonly string[];
  readonly payload: Buffer;
}

/** Returns the frame to pass on, or `undefined` to drop the frame. */
type Filter = (frame: Frame) => Frame | undefined;

const LINE_END = '\r\n';

const CARRIES_PAYLOAD = /^H?(PUB|MSG)$/;

/** Returns the index of a frame's reply subject: the token before the sizes. */
const replyAt = ({ tokens: [verb = '', ...rest] }: Frame, fixed: number): number => {
  const sizes = verb.startsWith('H') ? 2 : 1;
  return rest.length > fixed + sizes ? 1 + fixed : -1;
};

/** The subjects of a client's subscriptions, by subscription id. */
type Subscriptions = Map<string, string>;

/** Swallows the answer to the next request to `subject`. */
interface Trap {
  readonly subject: RegExp;
  /** The reply subject of the request. */
  inbox: string | undefined;
}

/**
 * A proxy that parses the traffic between clients and a NATS server. It can swallow an answer and
 * make the server's clock look wrong.
 */
export class NatsProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #traps: Trap[] = [];
  #swallowed = 0;
  #accepted = 0;
  #port = 0;
  #shift: (text: string) => string = (text) => text;

  private constructor(targetPort: number) {
    this.#server = createServer((client) => {
      this.#accepted += 1;
      const target = connect(targetPort, '127.0.0.1');
      const subscriptions: Subscriptions = new Map();
      this.#pipe(client, target, (frame) => this.#fromClient(frame, subscriptions));
      this.#pipe(target, client, (frame) => this.#fromServer(frame, subscriptions));
    });
  }

  /** Starts a proxy in front of a port of 127.0.0.1. */
  static async start(targetPort: number): Promise<NatsProxy> {
    const proxy = new NatsProxy(targetPort);
    proxy.#port = await freePort();
    await listen(proxy.#server, proxy.#port);
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** The number of accepted connections. */
  get accepted(): number {
    return this.#accepted;
  }

  /** The number of swallowed answers. */
  get swallowed(): number {
    return this.#swallowed;
  }

  /**
   * Swallows the answer to the next request whose subject matches. For `PING`, swallows the next
   * pong.
   */
  swallow(subject: RegExp): void {
    this.#traps.push({ subject, inbox: undefined });
  }

  /**
   * Changes the times that clients see.
   * @param facts changes the time in a delivery's reply subject, in milliseconds since the epoch
   * @param answers changes each time in an API response
   */
  shiftTimes(facts: (time: number) => number, answers: (time: number) => number = facts): void {
    this.#shift = (text) =>
      text
        .replace(/^(\$JS\.ACK\.(?:[^.]+\.){5})(\d+)(?=\.\d+$)/, (_, before: string, time: string) => {
          const nanoseconds = BigInt(time);
          return `${before}${nanoseconds + BigInt(Math.round(facts(Number(nanoseconds / 1_000_000n)) - Number(nanoseconds / 1_000_000n))) * 1_000_000n}`;
        })
        .replace(
          /"(\d{4}-\d\d-\d\dT[\d:.]+Z)"/g,
          (_, time: string) => `"${new Date(answers(Date.parse(time))).toISOString()}"`,
        );
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #pipe(from: Socket, to: Socket, filter: Filter): void {
    this.#sockets.add(from);
    let received: Buffer = Buffer.alloc(0);
    from.on('data', (chunk) => {
      received = Buffer.concat([received, chunk]);
      for (let next = readFrame(received); next !== undefined; next = readFrame(received)) {
        received = received.subarray(next.length);
        const frame = filter(next.frame);
        if (frame !== undefined) to.write(writeFrame(frame));
      }
    });
    // The `close` event follows.
    from.on('error', () => undefined);
    from.on('close', () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  #fromClient(frame: Frame, subscriptions: Subscriptions): Frame {
    const [verb = '', subject = ''] = frame.tokens;
    if (verb === 'SUB') subscriptions.set(frame.tokens.at(-1) ?? '', subject);
    const isPublish = CARRIES_PAYLOAD.test(verb);
    const trap = this.#traps.find((one) => one.inbox === undefined && one.subject.test(isPublish ? subject : verb));
    if (trap !== undefined) trap.inbox = isPublish ? frame.tokens[replyAt(frame, 1)] : 'PONG';
    return frame;
  }

  #fromServer(frame: Frame, subscriptions: Subscriptions): Frame | undefined {
    const [verb = '', subject = '', subscription = ''] = frame.tokens;
    const isMessage = CARRIES_PAYLOAD.test(verb);
    // The messages that answer a pull have their own subjects.
    const inboxes = isMessage ? [subject, subscriptions.get(subscription)] : [verb];
    const trap = this.#traps.find(({ inbox }) => inbox !== undefined && inboxes.includes(inbox));
    if (trap !== undefined) {
      this.#traps = this.#traps.filter((one) => one !== trap);
      this.#swallowed += 1;
      return undefined;
    }
    return isMessage ? this.#shifted(frame) : frame;
  }

  #shifted(frame: Frame): Frame {
    const reply = replyAt(frame, 2);
    const tokens = frame.tokens.map((token, index) => (index === reply ? this.#shift(token) : token));
    const text = frame.payload.toString('latin1');
    const payload = Buffer.from(text.startsWith('{"type":"io.nats.jetstream.api') ? this.#shift(text) : text, 'latin1');
    // The sizes are the last tokens.
    if (payload.length !== frame.payload.length) tokens[tokens.length - 1] = String(payload.length - LINE_END.length);
    return { tokens, payload };
  }
}

/** Reads the first frame of the received bytes if it is complete. */
function readFrame(received: Buffer): { readonly frame: Frame; readonly length: number } | undefined {
  const end = received.indexOf(LINE_END);
  if (end < 0) return undefined;
  const tokens = received.toString('latin1', 0, end).split(' ');
  const start = end + LINE_END.length;
  const size = CARRIES_PAYLOAD.test(tokens[0] ?? '') ? Number(tokens.at(-1)) + LINE_END.length : 0;
  if (received.length < start + size) return undefined;
  return { frame: { tokens, payload: received.subarray(start, start + size) }, length: start + size };
}

function writeFrame({ tokens, payload }: Frame): Buffer {
  return Buffer.concat([Buffer.from(tokens.join(' ') + LINE_END, 'latin1'), payload]);
}

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { freePort, listen } from './free-port.js';

/** A control line of the protocol, with the payload that follows it. */
interface Frame {
  readonly tokens: readonly string[];
  readonly payload: Buffer;
}

/** What a proxy does with a frame: passes on the one that it returns, or drops the frame. */
type Filter = (frame: Frame) => Frame | undefined;

const LINE_END = '\r\n';

const CARRIES_PAYLOAD = /^H?(PUB|MSG)$/;

/** Where a frame that carries a payload names the subject of the answer: the token before its sizes. */
const replyAt = ({ tokens: [verb = '', ...rest] }: Frame, fixed: number): number => {
  const sizes = verb.startsWith('H') ? 2 : 1;
  return rest.length > fixed + sizes ? 1 + fixed : -1;
};

/** The subjects that a client has subscribed to, by the ids of its subscriptions. */
type Subscriptions = Map<string, string>;

/** An answer that is swallowed once a request to `subject` calls for it. */
interface Trap {
  readonly subject: RegExp;
  /** Where the answer goes, once there was such a request. */
  inbox: string | undefined;
}

/** A proxy that reads what clients and a NATS server say to each other. It can keep an answer to itself, and show the clients a server whose clock is set wrong. */
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

  /** Starts one in front of a port of 127.0.0.1. */
  static async start(targetPort: number): Promise<NatsProxy> {
    const proxy = new NatsProxy(targetPort);
    proxy.#port = await freePort();
    await listen(proxy.#server, proxy.#port);
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  /** How many connections there have been. */
  get accepted(): number {
    return this.#accepted;
  }

  /** How many answers it has kept to itself. */
  get swallowed(): number {
    return this.#swallowed;
  }

  /** Keeps the answer to the next request to itself whose subject matches; for `PING`, the next pong. */
  swallow(subject: RegExp): void {
    this.#traps.push({ subject, inbox: undefined });
  }

  /**
   * Shows the clients times that are wrong.
   * @param facts changes the time in the subject to which a delivery is answered, in milliseconds since the epoch
   * @param answers changes each time in an answer of the API
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
    // `close` follows.
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
    // A pull is answered by messages that have their own subjects.
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
    // The sizes come last.
    if (payload.length !== frame.payload.length) tokens[tokens.length - 1] = String(payload.length - LINE_END.length);
    return { tokens, payload };
  }
}

/** The first frame of what has arrived, if it is there to its end. */
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

import type { Msg, MsgHdrs } from '@nats-io/transport-node';
import type { Connection } from '../broker/connection.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { ACK, type Answer, nak } from './answers.js';
import type { NatsLink } from './link.js';
import { copyHeaders, type DeliveryFacts, ID_HEADER, PUBLISHED_AT_HEADER, readHeaders, writePublishedAt } from './message.js';
import type { QueueNames } from './names.js';
import { Puller } from './puller.js';

export interface MoverOptions {
  readonly names: QueueNames;
  readonly connection: Connection<NatsLink>;
  /** Sees to it that the stream and its consumers are there. */
  readonly open: (link: NatsLink) => Promise<unknown>;
  /** The time of the server, in milliseconds since the epoch. */
  readonly serverTime: (link: NatsLink) => Promise<number>;
  /** Stores a message in the stream. Resolves to whether the stream has it. */
  readonly forward: (link: NatsLink, subject: string, data: Uint8Array, headers: MsgHdrs) => Promise<boolean>;
  /** Keeps what is no message, for somebody to look at. */
  readonly setAside: (link: NatsLink, message: Msg, reason: string) => Promise<void>;
}

/** A message whose time has come. */
interface Due {
  readonly message: Msg;
  readonly at: number;
  /** Where its key begins in its subject. */
  readonly subject: string;
  readonly storedAt: number;
  /** Its place among those that wait. */
  readonly sequence: number;
}

/** How many messages are looked at together at most. */
const MOST = 256;

/** How often the server has to be heard of, in milliseconds. */
const HEARTBEAT = 7500;

/**
 * How long the server keeps a request for messages, in milliseconds. Before 2.10, a message that it would have served a process with that was killed comes to nobody
 * until its lease is over: the sooner such a request is forgotten, the rarer is that.
 */
const EXPIRES = 15_000;

/** What is due within so many milliseconds waits here; what is sent back is to come so early, since it comes some of them late. All then move in order. */
const SOON = 40;
const EARLY = 30;

/** How many bytes may be on their way here at a time, to be moved. */
const SHARE = 16 * 1024 * 1024;

/** How much too early a message may be taken for due, in milliseconds: the server counts in tens of them. */
const TOLERANCE = 1;

/** After what time a message is tried again that could not be stored, in milliseconds. */
const AGAIN = 500;

const backoff = exponentialBackoff({ initial: 100, max: 5000, jitter: 0.5 });

/**
 * Moves messages that were published with a delay to where the groups find them, when their time has come. Until then the server keeps them for it: each is
 * sent back for the rest of its delay. Any number of processes do this at a time, and each message is with one of them.
 */
export class Mover {
  readonly #options: MoverOptions;
  readonly #puller: Puller;
  #wanted = false;
  #running = false;
  #link: NatsLink | undefined;
  /** What to add to the clock of `performance` for the time of the server. */
  #offset = 0;
  /** What has come in this turn. */
  #arrived: { readonly message: Msg; readonly facts: DeliveryFacts }[] = [];
  /** What is due soon. */
  #soon: Due[] = [];
  /** What is being moved, and is in both places for a moment. */
  readonly #moving = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  #closed = false;

  constructor(options: MoverOptions) {
    this.#options = options;
    const { delayedStream: stream, mover } = options.names;
    this.#puller = new Puller({
      stream,
      consumer: mover,
      heartbeat: HEARTBEAT,
      expires: EXPIRES,
      share: () => SHARE,
      onMessage: (message, facts) => this.#received(message, facts),
      onChange: () => this.#pull(),
      onMissing: () => this.#rest(),
      onRefused: () => this.#rest(),
    });
  }

  /** From now on, over this connection and those that follow. */
  start(): void {
    this.#wanted = true;
    if (this.#options.connection.link !== this.#link || this.#link === undefined) void this.#begin();
  }

  /** There is a new connection. */
  reconnected(): void {
    if (this.#wanted) void this.#begin();
  }

  /** Resolves when what is being moved now is in one place again. */
  async moved(): Promise<void> {
    await Promise.all(this.#moving);
  }

  /** Takes no more, and sends back what waits here, for whoever else moves what falls due. Resolves when the server has been told. */
  async leave(): Promise<void> {
    this.#closed = true;
    const { connection } = this.#options;
    const link = this.#link;
    if (link === undefined || !connection.isReady || connection.link !== link) return;
    await this.#puller.withdraw().catch(() => {});
    // What was on its way here has come when this is answered.
    await link.flush().catch(() => {});
    clearTimeout(this.#timer);
    this.#sort();
    await this.moved();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#pause);
    clearImmediate(this.#scheduled);
    clearTimeout(this.#timer);
    this.#puller.stop();
  }

  async #begin(): Promise<void> {
    if (this.#running || this.#closed || this.#pause !== undefined) return;
    this.#running = true;
    const { connection, open, serverTime } = this.#options;
    try {
      const link = await connection.acquire();
      if (this.#failures > 0) await open(link);
      const before = performance.now();
      const time = await serverTime(link);
      this.#offset = time - (before + performance.now()) / 2;
      if (this.#closed) return;
      this.#link = link;
      // What was here over another link comes again.
      this.#soon = [];
      this.#puller.start(link);
      this.#pull();
      this.#failures = 0;
    } catch {
      // Whoever publishes or consumes says what is wrong.
      this.#rest();
    } finally {
      this.#running = false;
    }
  }

  #rest(): void {
    if (this.#closed) return;
    this.#failures += 1;
    this.#puller.stop();
    this.#pause ??= setTimeout(
      () => {
        this.#pause = undefined;
        void this.#begin();
      },
      backoff(undefined, this.#failures),
    );
  }

  #pull(): void {
    if (this.#link !== undefined && !this.#closed && this.#puller.asked <= MOST / 2) this.#puller.pull(MOST - this.#puller.asked);
  }

  #received(message: Msg, facts: DeliveryFacts): void {
    this.#arrived.push({ message, facts });
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      this.#sort();
    });
    this.#pull();
  }

  /** Keeps what is due soon, or one would overtake another, and sends back the rest; all of it, where nobody will be here for it. */
  #sort(): void {
    const link = this.#link;
    const arrived = this.#arrived;
    this.#arrived = [];
    if (link === undefined) return;
    const now = performance.now() + this.#offset;
    for (const { message, facts } of arrived) {
      const delayed = this.#read(message, facts);
      if (delayed === undefined) void this.#setAside(message);
      else if (delayed.at <= now + SOON && !this.#closed) this.#soon.push(delayed);
      else this.#answer(message, nak(delayed.at - now - EARLY));
    }
    if (this.#closed) for (const { message, at } of this.#soon.splice(0)) this.#answer(message, nak(at - now));
    else this.#move();
  }

  /** Moves what is due, in the order in which it fell due, and waits for the rest. */
  #move(): void {
    clearTimeout(this.#timer);
    const link = this.#link;
    if (link === undefined || this.#soon.length === 0) return;
    const now = performance.now() + this.#offset;
    this.#soon.sort((one, other) => one.at - other.at || one.sequence - other.sequence);
    while ((this.#soon[0]?.at ?? Number.POSITIVE_INFINITY) <= now + TOLERANCE) {
      const { message, subject, storedAt } = this.#soon.shift() as Due;
      const moving = this.#forward(link, message, subject, storedAt).finally(() => this.#moving.delete(moving));
      this.#moving.add(moving);
    }
    const next = this.#soon[0];
    if (next !== undefined) this.#timer = setTimeout(() => this.#move(), Math.max(1, next.at - now));
  }

  /** Reads the subject `<stream>.<milliseconds>.<key>`. Undefined for what is none. */
  #read(message: Msg, { storedAt, sequence }: DeliveryFacts): Due | undefined {
    const { subject } = message;
    const { delayed, messages } = this.#options.names;
    const from = delayed.length - 1;
    const end = subject.indexOf('.', from);
    const delay = subject.slice(from, end);
    if (end < 0 || !/^\d{1,16}$/.test(delay)) return undefined;
    return { message, at: storedAt + Number(delay), subject: `${messages.slice(0, -1)}${subject.slice(end + 1)}`, storedAt, sequence };
  }

  async #forward(link: NatsLink, message: Msg, subject: string, storedAt: number): Promise<void> {
    try {
      const stored = await this.#options.forward(link, subject, message.data, headersOf(message, storedAt));
      await link.request(message.reply as string, stored ? ACK : nak(AGAIN));
    } catch {
      // The connection is lost: it comes again.
    }
  }

  async #setAside(message: Msg): Promise<void> {
    const link = this.#link;
    if (link === undefined) return;
    try {
      await this.#options.setAside(link, message, 'its subject says no delay');
      this.#answer(message, ACK);
    } catch {
      this.#answer(message, nak(AGAIN));
    }
  }

  #answer({ reply }: Msg, answer: Answer): void {
    try {
      this.#link?.publish(reply as string, answer);
    } catch {
      // The connection is lost: it comes again.
    }
  }
}

/** The headers of a message that is not delayed any more. */
function headersOf(message: Msg, storedAt: number): MsgHdrs {
  const headers = copyHeaders(message);
  const id = readHeaders(message)?.get(ID_HEADER) ?? '';
  if (id !== '') headers.set(ID_HEADER, id);
  headers.set(PUBLISHED_AT_HEADER, writePublishedAt(storedAt));
  return headers;
}

import type { Msg } from '@nats-io/transport-node';
import type { Connection } from '../core/connection.js';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { Refusals } from '../core/refusals.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { ACK, type Answer, IN_PROGRESS, nak } from './answers.js';
import type { NatsLink } from './link.js';
import { type DeliveryFacts, forwardHeaders } from './message.js';
import type { QueueNames } from './names.js';
import { store } from './publisher.js';
import { Puller } from './puller.js';
import { JITTER, ServerClock } from './server-clock.js';
import type { MoverState } from './topology.js';

export interface MoverOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly connection: Connection<NatsLink>;
  /** Sees to it that the stream and its consumers are there. */
  readonly open: (link: NatsLink) => Promise<unknown>;
  readonly state: (link: NatsLink) => Promise<MoverState>;
  /** Returns how long the stream remembers ids, in milliseconds. */
  readonly dedupeWindow: () => number;
  /** Keeps what is no message, for somebody to look at. */
  readonly setAside: (link: NatsLink, message: Msg, reason: string) => Promise<void>;
  readonly failures: EngineErrors;
  readonly logger: Logger;
}

interface Arrival {
  readonly message: Msg;
  readonly facts: DeliveryFacts;
  /** This process saw the delay begin: it does not depend on the clock of the server. */
  readonly isKnown: boolean;
}

/** A message whose time has come. */
interface Due {
  readonly message: Msg;
  /** By the clock of the server. */
  at: number;
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

/** What was refused is tried again sooner than so many milliseconds later; if not here, another process has it. */
const FORGOTTEN = 20 * AGAIN;

/** For how many milliseconds a reading of the clock of the server serves for messages whose delay this process did not see begin. */
const RECENT = 250;

/** What was sent back comes again after its delay, here or elsewhere. It is forgotten so many milliseconds later. */
const SENT_BACK = { most: 100_000, lateness: 10_000 };

const backoff = exponentialBackoff({ initial: 100, max: 5000, jitter: 0.5 });

/**
 * Moves messages that were published with a delay to where the groups find them, when their time has come. Until then the server keeps them for it: each is
 * sent back for the rest of its delay. Any number of processes do this at a time, and each message is with one of them.
 *
 * A process that receives a message as soon as it is stored measures the delay by its own monotonic clock. Only for other messages does it compare the time of storage with the
 * clock of the server, which it reads anew each time: that may be set, and another server of a cluster has another.
 */
export class Mover {
  readonly #options: MoverOptions;
  readonly #puller: Puller;
  #wanted = false;
  #running = false;
  #link: NatsLink | undefined;
  readonly #clock = new ServerClock();
  #reading = false;
  /** The server had no message that nobody has received: the next one that is received for the first time was stored just now. */
  #caughtUp = false;
  /** What this process has sent back, by place and time in the stream. */
  readonly #sentBack = new DelayedInTransit(SENT_BACK);
  /** What has come in this turn, or since the clock is read. */
  #arrived: Arrival[] = [];
  /** What is due soon. */
  #soon: Due[] = [];
  /** What is being moved, and is in both places for a moment. */
  readonly #moving = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  readonly #refusals: Refusals;
  /** What was refused last, and when: the places of messages, and what is done for all of them. */
  readonly #refused = new Map<string, number>();
  #closed = false;

  constructor(options: MoverOptions) {
    this.#options = options;
    const { queueName: queue, logger } = options;
    const { delayedStream: stream, mover } = options.names;
    const requests = `requests for the delayed messages of queue ${JSON.stringify(queue)}`;
    this.#refusals = new Refusals({ broker: 'NATS', queue, requests, logger });
    this.#puller = new Puller({
      stream,
      consumer: mover,
      heartbeat: HEARTBEAT,
      expires: EXPIRES,
      share: () => SHARE,
      onMessage: (message, facts) => this.#received(message, facts),
      onChange: () => this.#pull(),
      onMissing: () => this.#rest(),
      onRefused: (reason) => {
        this.#refuse('pull', new Error(reason));
        this.#rest();
      },
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

  /** The server's time, as far as it is known, in milliseconds since the epoch. */
  get now(): number {
    return this.#clock.now;
  }

  /** Keeps messages that were removed from the stream from being moved. */
  discard(isRemoved: (sequence: number) => boolean): void {
    this.#arrived = this.#arrived.filter(({ facts }) => !isRemoved(facts.sequence));
    this.#soon = this.#soon.filter(({ sequence }) => !isRemoved(sequence));
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
    // If this fails, the connection is lost, and the messages go to another process when their leases expire.
    await this.#puller.withdraw().catch(() => {});
    // What was on its way here has come when this is answered. A failure means the same.
    await link.flush().catch(() => {});
    clearTimeout(this.#timer);
    this.#sort(link);
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
    const { connection, open, state } = this.#options;
    try {
      const link = await connection.acquire();
      if (this.#failures > 0) await open(link);
      const { undelivered } = await state(link);
      if (this.#closed) return;
      this.#link = link;
      this.#caughtUp = undelivered === 0;
      // What was here over another link comes again.
      this.#arrived = [];
      this.#soon = [];
      this.#puller.start(link);
      this.#pull();
      this.#failures = 0;
      this.#accepted('begin');
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#running = false;
    }
  }

  #failed(error: unknown): void {
    // A refusal may pass at once, as where the stream has just been deleted; and the connection tells of its own loss.
    if (this.#failures > 0 && this.#options.failures.classify(error) !== 'retryable') this.#refuse('begin', error);
    this.#rest();
  }

  /** Tells what keeps delayed messages where they are. */
  #refuse(what: string, error: unknown): void {
    if (this.#closed) return;
    this.#refused.set(what, performance.now());
    this.#refusals.add(error);
  }

  /** The refusals end when nothing that was refused still is: one message may be refused while others are moved. */
  #accepted(what: string): void {
    if (this.#refused.size === 0) return;
    this.#refused.delete(what);
    const stale = performance.now() - FORGOTTEN;
    for (const [place, at] of this.#refused) if (at < stale) this.#refused.delete(place);
    if (this.#refused.size === 0) this.#refusals.end();
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
    if (this.#link !== undefined && !this.#closed && this.#puller.asked <= MOST / 2)
      this.#puller.pull(MOST - this.#puller.asked);
  }

  #received(message: Msg, facts: DeliveryFacts): void {
    this.#accepted('pull');
    const isFresh = this.#caughtUp && facts.deliveries === 1;
    this.#caughtUp = facts.pending === 0;
    if (isFresh) this.#readClock(facts.storedAt);
    this.#arrived.push({ message, facts, isKnown: isFresh || this.#sentBack.dueAt(placeOf(facts)) !== undefined });
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      void this.#handle();
    });
    this.#pull();
  }

  /** Sorts what has arrived; reads the clock of the server first where something depends on it. */
  async #handle(): Promise<void> {
    const link = this.#link;
    if (this.#reading || link === undefined) return;
    const stranger = this.#arrived.find(({ isKnown }) => !isKnown);
    if (stranger !== undefined && !this.#clock.wasRead(RECENT)) {
      this.#reading = true;
      try {
        await this.#askTime(link, stranger);
      } catch (error) {
        // What has arrived comes again.
        this.#failed(error);
        return;
      } finally {
        this.#reading = false;
      }
    }
    if (link === this.#link) this.#sort(link);
  }

  /** Reads the clock of the server: renewing a message makes the server note the time. */
  async #askTime(link: NatsLink, { message, facts }: Arrival): Promise<void> {
    const asked = performance.now();
    await link.request(message.reply as string, IN_PROGRESS);
    const { activeAt } = await this.#options.state(link);
    if (Number.isNaN(activeAt)) this.#readClock(facts.storedAt);
    else this.#readClock(activeAt, asked);
  }

  /** The server has shown its time. If its clock was set, what waits here is not due sooner or later for that. */
  #readClock(time: number, since?: number): void {
    const step = this.#clock.read(time, since);
    for (const due of this.#soon) due.at += step;
  }

  /** Keeps what is due soon, or one would overtake another, and sends back the rest; all of it, where nobody will be here for it. */
  #sort(link: NatsLink): void {
    const arrived = this.#arrived;
    this.#arrived = [];
    const { now, isKnown } = this.#clock;
    for (const { message, facts } of arrived) {
      const delayed = this.#read(message, facts, now);
      if (delayed === undefined) void this.#setAside(link, message, placeOf(facts));
      else if (this.#closed) this.#answer(link, message, nak(isKnown ? delayed.at - now : 0));
      else if (delayed.at <= now + SOON) this.#soon.push(delayed);
      else {
        this.#sentBack.add(placeOf(facts), delayed.at - now);
        this.#answer(link, message, nak(delayed.at - now - EARLY));
      }
    }
    if (this.#closed) for (const { message, at } of this.#soon.splice(0)) this.#answer(link, message, nak(at - now));
    else this.#move();
  }

  /** Moves what is due, in the order in which it fell due, and waits for the rest. */
  #move(): void {
    clearTimeout(this.#timer);
    const link = this.#link;
    if (link === undefined || this.#soon.length === 0) return;
    const { now } = this.#clock;
    this.#soon.sort((one, other) => one.at - other.at || one.sequence - other.sequence);
    while ((this.#soon[0]?.at ?? Number.POSITIVE_INFINITY) <= now + TOLERANCE) {
      const due = this.#soon.shift() as Due;
      const moving = this.#forward(link, due).finally(() => this.#moving.delete(moving));
      this.#moving.add(moving);
    }
    const next = this.#soon[0];
    if (next !== undefined) this.#timer = setTimeout(() => this.#move(), Math.max(1, next.at - now));
  }

  /** Reads the subject `<stream>.<milliseconds>.<key>`. Undefined for what is none. */
  #read(message: Msg, facts: DeliveryFacts, now: number): Due | undefined {
    const { storedAt, sequence } = facts;
    const read = this.#options.names.readDelayed(message.subject);
    if (read === undefined) return undefined;
    return { message, at: this.#dueAt(facts, read.delay, now), subject: read.subject, storedAt, sequence };
  }

  /** When a message is due, by the clock of the server. If that was set since this process saw the message first, the time that has passed here counts. */
  #dueAt(facts: DeliveryFacts, delay: number, now: number): number {
    // Nothing is stored in the future: that would be the time of a clock that was set since.
    const at = Math.min(facts.storedAt, now) + delay;
    const place = placeOf(facts);
    const due = this.#sentBack.dueAt(place);
    if (due === undefined) return at;
    this.#sentBack.delete(place);
    const here = now + due - performance.now();
    return Math.abs(here - at) > JITTER ? here : at;
  }

  async #forward(link: NatsLink, due: Due): Promise<void> {
    const { message, subject } = due;
    const { dedupeWindow } = this.#options;
    const headers = forwardHeaders(message, due, { dedupeWindow: dedupeWindow(), now: this.#clock.now });
    try {
      await store(link, subject, message.data, headers);
      await link.request(message.reply as string, ACK);
      this.#accepted(placeOf(due));
    } catch (error) {
      // Over a lost connection, the message comes again without that.
      if (!link.isUp) return;
      this.#refuse(placeOf(due), error);
      this.#answer(link, message, nak(AGAIN));
    }
  }

  async #setAside(link: NatsLink, message: Msg, place: string): Promise<void> {
    try {
      await this.#options.setAside(link, message, 'its subject says no delay');
      this.#answer(link, message, ACK);
      this.#accepted(place);
    } catch (error) {
      if (!link.isUp) return;
      this.#refuse(place, error);
      this.#answer(link, message, nak(AGAIN));
    }
  }

  #answer(link: NatsLink, { reply }: Msg, answer: Answer): void {
    try {
      link.publish(reply as string, answer);
    } catch {
      // The connection is lost. The server delivers the message again when its lease expires.
    }
  }
}

/** By what a delayed message is known, also if another stream takes the place of the one that it is in. */
function placeOf({ sequence, storedAt }: Pick<DeliveryFacts, 'sequence' | 'storedAt'>): string {
  return `${sequence}-${storedAt}`;
}

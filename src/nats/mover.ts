import type { Msg } from '@nats-io/transport-node';
import type { Connection } from '../core/connection.js';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import type { EngineErrors } from '../core/engine-errors.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { ACK, type Answer, IN_PROGRESS, nak } from './answers.js';
import type { NatsLink } from './link.js';
import { type DeliveryFacts, forwardHeaders } from './message.js';
import { MessageRefusals } from './message-refusals.js';
import type { QueueNames } from './names.js';
import { store } from './publisher.js';
import { Puller } from './puller.js';
import { JITTER, ServerClock } from './server-clock.js';
import type { MoverState } from './topology.js';

export interface MoverOptions {
  readonly queueName: string;
  readonly names: QueueNames;
  readonly connection: Connection<NatsLink>;
  /** Creates the streams and their consumers if they are missing. */
  readonly open: (link: NatsLink) => Promise<unknown>;
  readonly state: (link: NatsLink) => Promise<MoverState>;
  /** Returns how long the stream remembers ids, in milliseconds. */
  readonly dedupeWindow: () => number;
  /** Puts a message in quarantine. */
  readonly setAside: (link: NatsLink, message: Msg, reason: string) => Promise<void>;
  readonly failures: EngineErrors;
  readonly logger: Logger;
}

interface Arrival {
  readonly message: Msg;
  readonly facts: DeliveryFacts;
  /** Whether this process saw the delay begin. Then the delay does not depend on the server's clock. */
  readonly isKnown: boolean;
}

/** A message that is due, or will be soon. */
interface Due {
  readonly message: Msg;
  /** When it is due, by the server's clock. */
  at: number;
  /** The subject on which it is stored then. */
  readonly subject: string;
  readonly storedAt: number;
  /** Its sequence number in the stream of delayed messages. */
  readonly sequence: number;
}

/** How many messages are asked for at most. */
const MOST = 256;

/** How often the server sends a heartbeat while no message comes, in milliseconds. */
const HEARTBEAT = 7500;

/**
 * How long the server keeps a request for messages, in milliseconds. Before 2.10, the server delivers messages to the request of a killed process, and no other process gets them
 * until their leases expire. A short time makes that rare.
 */
const EXPIRES = 15_000;

/**
 * A message that is due within `SOON` ms waits here, so that all are stored in order. Others are requeued until `EARLY` ms before they are due, since the server delivers them up to
 * that late.
 */
const SOON = 40;
const EARLY = 30;

/** How many bytes of delayed messages may be on their way here at a time. */
const SHARE = 16 * 1024 * 1024;

/** How much too early a message may count as due, in milliseconds. */
const TOLERANCE = 1;

/** After how many milliseconds a message is tried again that was refused. */
const AGAIN = 500;

/** After how many milliseconds a refused message counts as moved by another process. */
const FORGET_AFTER = 20 * AGAIN;

/** For how many milliseconds a reading of the server's clock is used for messages whose delay this process did not see begin. */
const RECENT = 250;

/** A requeued message arrives after its delay, here or in another process. It is forgotten `lateness` ms later. */
const REQUEUED = { most: 100_000, lateness: 10_000 };

const backoff = exponentialBackoff({ initial: 100, max: 5000, jitter: 0.5 });

/**
 * Moves delayed messages to the stream of the groups when they are due. Before that, it requeues each message with the rest of its delay. Several processes move messages at a
 * time; each message is in flight to one of them.
 *
 * A process that receives a message as soon as it is stored measures the delay by its own monotonic clock. For other messages, it compares the time of storage with the server's
 * clock, which it reads again each time: that clock may be set, and each server of a cluster has its own.
 */
export class Mover {
  readonly #options: MoverOptions;
  readonly #puller: Puller;
  #wanted = false;
  #running = false;
  #link: NatsLink | undefined;
  readonly #clock = new ServerClock();
  #reading = false;
  /** The server had no undelivered message: the next one that is delivered for the first time was stored just now. */
  #caughtUp = false;
  /** The messages that this process has requeued. */
  readonly #requeued = new DelayedInTransit(REQUEUED);
  /** The messages that arrived in this turn, or while the clock is read. */
  #arrived: Arrival[] = [];
  #soon: Due[] = [];
  /** Messages that are in both streams for a moment. */
  readonly #moving = new Set<Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #scheduled: NodeJS.Immediate | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;
  readonly #refusals: MessageRefusals;
  #closed = false;

  constructor(options: MoverOptions) {
    this.#options = options;
    const { queueName: queue, logger } = options;
    const { delayedStream: stream, mover } = options.names;
    const requests = `requests for the delayed messages of queue ${JSON.stringify(queue)}`;
    this.#refusals = new MessageRefusals({ engine: 'NATS', queue, requests, logger, forgetAfter: FORGET_AFTER });
    this.#puller = new Puller({
      stream,
      consumer: mover,
      heartbeat: HEARTBEAT,
      expires: EXPIRES,
      share: () => SHARE,
      onMessage: (message, facts) => this.#received(message, facts),
      onChange: () => this.#pull(),
      onMissing: () => this.#backOff(),
      onRefused: (reason) => {
        this.#refuse('pull', new Error(reason));
        this.#backOff();
      },
    });
  }

  /** Starts, over this connection and those that follow. */
  start(): void {
    this.#wanted = true;
    if (this.#options.connection.link !== this.#link || this.#link === undefined) void this.#begin();
  }

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

  /** Resolves when the messages that are moved now are in one stream again. */
  async moved(): Promise<void> {
    await Promise.all(this.#moving);
  }

  /** Takes no more messages, and requeues those that wait here, for other processes. Resolves when that is sent. */
  async leave(): Promise<void> {
    this.#closed = true;
    const { connection } = this.#options;
    const link = this.#link;
    if (link === undefined || !connection.isReady || connection.link !== link) return;
    // If this fails, the connection is lost, and the leases expire.
    await this.#puller.withdraw().catch(() => {});
    // The messages on their way here have arrived when the server answers this. A failure means the same.
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
      // The messages of another link are delivered again.
      this.#arrived = [];
      this.#soon = [];
      this.#puller.start(link);
      this.#pull();
      this.#failures = 0;
      this.#refusals.accepted('begin');
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#running = false;
    }
  }

  #failed(error: unknown): void {
    // A first refusal may pass at once, as when the stream was just deleted. The connection reports its own loss.
    if (this.#failures > 0 && this.#options.failures.classify(error) !== 'retryable') this.#refuse('begin', error);
    this.#backOff();
  }

  #refuse(what: string, error: unknown): void {
    if (!this.#closed) this.#refusals.add(what, error);
  }

  #backOff(): void {
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
    this.#refusals.accepted('pull');
    const isFresh = this.#caughtUp && facts.deliveries === 1;
    this.#caughtUp = facts.pending === 0;
    if (isFresh) this.#readClock(facts.storedAt);
    this.#arrived.push({ message, facts, isKnown: isFresh || this.#requeued.dueAt(placeOf(facts)) !== undefined });
    this.#scheduled ??= setImmediate(() => {
      this.#scheduled = undefined;
      void this.#handle();
    });
    this.#pull();
  }

  /** Sorts the messages that have arrived. Reads the server's clock first if one depends on it. */
  async #handle(): Promise<void> {
    const link = this.#link;
    if (this.#reading || link === undefined) return;
    const stranger = this.#arrived.find(({ isKnown }) => !isKnown);
    if (stranger !== undefined && !this.#clock.wasRead(RECENT)) {
      this.#reading = true;
      try {
        await this.#askTime(link, stranger);
      } catch (error) {
        // The leases of these messages expire.
        this.#failed(error);
        return;
      } finally {
        this.#reading = false;
      }
    }
    if (link === this.#link) this.#sort(link);
  }

  /** Reads the server's clock: when a lease is renewed, the server notes the time. */
  async #askTime(link: NatsLink, { message, facts }: Arrival): Promise<void> {
    const asked = performance.now();
    await link.request(message.reply as string, IN_PROGRESS);
    const { activeAt } = await this.#options.state(link);
    if (Number.isNaN(activeAt)) this.#readClock(facts.storedAt);
    else this.#readClock(activeAt, asked);
  }

  /** Takes a time of the server. If its clock was set, the messages here keep their remaining delays. */
  #readClock(time: number, since?: number): void {
    const step = this.#clock.read(time, since);
    for (const due of this.#soon) due.at += step;
  }

  /** Keeps the messages that are due soon, and requeues the others; all of them if the queue is closed. */
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
        this.#requeued.add(placeOf(facts), delayed.at - now);
        this.#answer(link, message, nak(delayed.at - now - EARLY));
      }
    }
    if (this.#closed) for (const { message, at } of this.#soon.splice(0)) this.#answer(link, message, nak(at - now));
    else this.#move();
  }

  /** Moves the messages that are due, in the order in which they became due, and waits for the others. */
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

  /** @returns undefined if the subject says no delay */
  #read(message: Msg, facts: DeliveryFacts, now: number): Due | undefined {
    const { storedAt, sequence } = facts;
    const read = this.#options.names.readDelayed(message.subject);
    if (read === undefined) return undefined;
    return { message, at: this.#dueAt(facts, read.delay, now), subject: read.subject, storedAt, sequence };
  }

  /** Returns when a message is due, by the server's clock. If that clock was set since this process requeued the message, the time that has passed here counts. */
  #dueAt(facts: DeliveryFacts, delay: number, now: number): number {
    // A time of storage in the future is of a clock that was set since.
    const at = Math.min(facts.storedAt, now) + delay;
    const place = placeOf(facts);
    const due = this.#requeued.dueAt(place);
    if (due === undefined) return at;
    this.#requeued.delete(place);
    const here = now + due - performance.now();
    return Math.abs(here - at) > JITTER ? here : at;
  }

  #forward(link: NatsLink, due: Due): Promise<void> {
    const { message, subject } = due;
    const headers = forwardHeaders(message, due, {
      dedupeWindow: this.#options.dedupeWindow(),
      now: this.#clock.now,
    });
    return this.#settleAfter(link, message, placeOf(due), async () => {
      await store(link, subject, message.data, headers);
      await link.request(message.reply as string, ACK);
    });
  }

  #setAside(link: NatsLink, message: Msg, place: string): Promise<void> {
    return this.#settleAfter(link, message, place, async () => {
      await this.#options.setAside(link, message, 'its subject says no delay');
      this.#answer(link, message, ACK);
    });
  }

  /** Moves a message, or tries again later. */
  async #settleAfter(link: NatsLink, message: Msg, place: string, move: () => Promise<void>): Promise<void> {
    try {
      await move();
      this.#refusals.accepted(place);
    } catch (error) {
      // After a lost connection, the lease expires.
      if (!link.isUp) return;
      this.#refuse(place, error);
      this.#answer(link, message, nak(AGAIN));
    }
  }

  #answer(link: NatsLink, { reply }: Msg, answer: Answer): void {
    try {
      link.publish(reply as string, answer);
    } catch {
      // The connection is lost, and the lease expires.
    }
  }
}

/** Identifies a delayed message, also if the stream is created again. */
function placeOf({ sequence, storedAt }: Pick<DeliveryFacts, 'sequence' | 'storedAt'>): string {
  return `${sequence}-${storedAt}`;
}

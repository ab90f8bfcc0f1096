import type { ConsumerInfo } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/transport-node';
import { DelayedInTransit } from '../core/delayed-in-transit.js';
import { QueueNotFoundError } from '../errors.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { ACK, type Answer, IN_PROGRESS, nak } from './answers.js';
import type { NatsLink } from './link.js';
import { type DeliveryFacts, forwardHeaders, type Place } from './message.js';
import { MessageRefusals } from './message-refusals.js';
import { store } from './publisher.js';
import { Puller } from './puller.js';
import { quarantine } from './quarantine.js';
import type { NatsQueue } from './queue.js';
import { JITTER, ServerClock } from './server-clock.js';

interface Arrival {
  readonly message: Msg;
  readonly facts: DeliveryFacts;
  /** Whether this process saw the delay begin: then the server's clock does not matter. */
  readonly isKnown: boolean;
}

/** A delayed message that is due, or will be soon. */
interface Due extends Place {
  readonly message: Msg;
  at: number;
  readonly subject: string;
}

const MAX_REQUESTED = 256;

/** The time between heartbeats of the server while no message arrives, in milliseconds. */
const HEARTBEAT = 7500;

/** How long the server keeps a request, in milliseconds; before 2.10, also of a killed process. */
const EXPIRES = 15_000;

/**
 * A message that is due within `SOON` milliseconds waits here, so that all are stored in order.
 * Others are requeued until `EARLY` milliseconds before, since the server is late by up to that.
 */
export const SOON = 40;
const EARLY = 30;

const SHARE = 16 * 1024 * 1024;

const TOLERANCE = 1;

/** The pause before a refused message is tried again, in milliseconds. */
const RETRY_PAUSE = 500;

/** After how many milliseconds a refused message counts as moved by another process. */
const FORGET_AFTER = 20 * RETRY_PAUSE;

/** How old a reading of the server's clock may be for an unknown delay, in milliseconds. */
const RECENT = 250;

/** A requeued message arrives after its delay, here or in another process. */
const REQUEUED = { most: 100_000, lateness: 10_000 };

const backoff = exponentialBackoff({ initial: 100, max: 5000, jitter: 0.5 });

/**
 * Moves delayed messages to the stream of the groups when they are due. Requeues other messages
 * with the rest of their delay. Several processes move messages at a time; each message is in
 * flight to one of them.
 *
 * If this process receives a message as soon as it is stored, its own monotonic clock measures the
 * delay. For other messages, it compares the time of storage with the server's clock. It reads that
 * clock each time: the clock may be set, and each server of a cluster has its own.
 */
export class Mover {
  readonly #queue: NatsQueue;
  readonly #puller: Puller;
  readonly #clock = new ServerClock();
  readonly #refusals: MessageRefusals;
  #link: NatsLink | undefined;
  #isWanted = false;
  #isBeginning = false;
  #isReadingClock = false;
  #closed = false;
  /** The server had no undelivered message: the next new one was stored just now. */
  #isCaughtUp = false;
  readonly #requeued = new DelayedInTransit(REQUEUED);
  /** The messages that arrived in this turn, or since the clock is read. */
  #arrived: Arrival[] = [];
  #soon: Due[] = [];
  /** The moves in progress. Their messages are in both streams. */
  readonly #moving = new Set<Promise<void>>();
  #handling: NodeJS.Immediate | undefined;
  #timer: NodeJS.Timeout | undefined;
  #pause: NodeJS.Timeout | undefined;
  #failures = 0;

  constructor(queue: NatsQueue) {
    this.#queue = queue;
    const { names, options } = queue;
    const { name, logger } = options;
    const requests = `requests for the delayed messages of queue ${JSON.stringify(name)}`;
    this.#refusals = new MessageRefusals({ engine: 'NATS', queue: name, requests, logger, forgetAfter: FORGET_AFTER });
    this.#puller = new Puller({
      stream: names.delayedStream,
      consumer: names.mover,
      heartbeat: HEARTBEAT,
      expires: EXPIRES,
      share: () => SHARE,
      onMessage: (message, facts) => this.#received(message, facts),
      onChange: () => this.#pull(),
      onMissing: () => this.#backOff(),
      onRefused: (reason) => {
        this.#refused('pull', new Error(reason));
        this.#backOff();
      },
    });
  }

  /** Starts, over this link and the next ones. */
  start(): void {
    this.#isWanted = true;
    if (this.#queue.connection.link !== this.#link || this.#link === undefined) void this.#begin();
  }

  reconnected(hasMessages: boolean): void {
    this.#isWanted ||= hasMessages;
    if (this.#isWanted) void this.#begin();
  }

  /** The server's time, as far as it is known, in milliseconds since the epoch. */
  get now(): number {
    return this.#clock.now;
  }

  discard(isRemoved: (sequence: number) => boolean): void {
    this.#arrived = this.#arrived.filter(({ facts }) => !isRemoved(facts.sequence));
    this.#soon = this.#soon.filter(({ sequence }) => !isRemoved(sequence));
  }

  /** Resolves when each message that is being moved is in one stream again. */
  async moved(): Promise<void> {
    await Promise.all(this.#moving);
  }

  /** Requests no more messages, and requeues those that wait here, for other processes. */
  async leave(): Promise<void> {
    this.#closed = true;
    const { connection } = this.#queue;
    const link = this.#link;
    if (link === undefined || !connection.isReady || connection.link !== link) return;
    // If this fails, the connection is lost, and the leases expire.
    await this.#puller.withdraw().catch(() => {});
    // After its response, no more messages arrive.
    await link.flush().catch(() => {});
    clearTimeout(this.#timer);
    this.#sort(link);
    await this.moved();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#pause);
    clearImmediate(this.#handling);
    clearTimeout(this.#timer);
    this.#puller.stop();
  }

  async #begin(): Promise<void> {
    if (this.#isBeginning || this.#closed || this.#pause !== undefined) return;
    this.#isBeginning = true;
    const { connection, topology } = this.#queue;
    try {
      const link = await connection.acquire();
      if (this.#failures > 0) await topology.open(link);
      const { num_pending } = await this.#consumerInfo(link);
      if (this.#closed) return;
      this.#link = link;
      this.#isCaughtUp = num_pending === 0;
      // The messages of another link are redelivered.
      this.#arrived = [];
      this.#soon = [];
      this.#puller.start(link);
      this.#pull();
      this.#failures = 0;
      this.#refusals.accepted('begin');
    } catch (error) {
      this.#failed(error);
    } finally {
      this.#isBeginning = false;
    }
  }

  #failed(error: unknown): void {
    // The next consumer or publish with a delay starts it again.
    if (QueueNotFoundError.is(error)) {
      this.#isWanted = false;
      this.#link = undefined;
      this.#puller.stop();
      return;
    }
    // A single refusal can be transient, for instance after the stream was deleted. The connection
    // reports its own loss.
    if (this.#failures > 0 && this.#queue.failures.classify(error) !== 'retryable') this.#refused('begin', error);
    this.#backOff();
  }

  #refused(what: string, error: unknown): void {
    if (!this.#closed) this.#refusals.add(what, error);
  }

  #backOff(): void {
    if (this.#closed) return;
    this.#failures += 1;
    this.#puller.stop();
    const begin = () => {
      this.#pause = undefined;
      void this.#begin();
    };
    this.#pause ??= setTimeout(begin, backoff(undefined, this.#failures));
  }

  #pull(): void {
    if (this.#link !== undefined && !this.#closed && this.#puller.asked <= MAX_REQUESTED / 2)
      this.#puller.pull(MAX_REQUESTED - this.#puller.asked);
  }

  #consumerInfo({ manager }: NatsLink): Promise<ConsumerInfo> {
    return manager.consumers.info(this.#queue.names.delayedStream, this.#queue.names.mover);
  }

  #received(message: Msg, facts: DeliveryFacts): void {
    this.#refusals.accepted('pull');
    const isFresh = this.#isCaughtUp && facts.deliveries === 1;
    this.#isCaughtUp = facts.pending === 0;
    if (isFresh) this.#readClock(facts.storedAt, facts.sequence);
    this.#arrived.push({ message, facts, isKnown: isFresh || this.#requeued.dueAt(tokenOf(facts)) !== undefined });
    this.#handling ??= setImmediate(() => {
      this.#handling = undefined;
      void this.#handle();
    });
    this.#pull();
  }

  /** Sorts the arrived messages. Reads the server's clock first if a delay depends on it. */
  async #handle(): Promise<void> {
    const link = this.#link;
    if (this.#isReadingClock || link === undefined) return;
    this.#isReadingClock = true;
    try {
      for (let unknown = this.#unknown(); unknown !== undefined; unknown = this.#unknown())
        await this.#askTime(link, unknown);
    } catch (error) {
      // The leases of these messages expire.
      this.#failed(error);
      return;
    } finally {
      this.#isReadingClock = false;
    }
    if (link === this.#link) this.#sort(link);
  }

  /** An arrived message whose delay depends on a reading of the server's clock. */
  #unknown(): Arrival | undefined {
    return this.#arrived.find(({ isKnown, facts }) => !isKnown && !this.#clock.wasRead(RECENT, facts));
  }

  /** Reads the server's clock: the server notes the time when a lease is renewed. */
  async #askTime(link: NatsLink, { message, facts }: Arrival): Promise<void> {
    const askedAt = performance.now();
    await link.request(message.reply as string, IN_PROGRESS);
    const { delivered, num_pending } = await this.#consumerInfo(link);
    // The client declares a number, and passes on the text of the server.
    const time = Date.parse(String(delivered.last_active));
    if (Number.isNaN(time)) this.#readClock(facts.storedAt, facts.sequence);
    else this.#readClock(time, delivered.stream_seq + num_pending, askedAt);
  }

  /** Takes a time of the server. If its clock was set, messages keep their remaining delays. */
  #readClock(time: number, sequence: number, since?: number): void {
    const step = this.#clock.read(time, sequence, since);
    for (const due of this.#soon) due.at += step;
  }

  /** Keeps the messages that are due soon, and requeues the others. After closing, requeues all. */
  #sort(link: NatsLink): void {
    const arrived = this.#arrived;
    this.#arrived = [];
    const { now, isKnown } = this.#clock;
    for (const { message, facts } of arrived) {
      const delayed = this.#read(message, facts, now);
      if (delayed === undefined) void this.#quarantine(link, message, tokenOf(facts));
      else if (this.#closed) this.#answer(link, message, nak(isKnown ? delayed.at - now : 0));
      else if (delayed.at <= now + SOON) this.#soon.push(delayed);
      else {
        this.#requeued.add(tokenOf(facts), delayed.at - now);
        this.#answer(link, message, nak(delayed.at - now - EARLY));
      }
    }
    if (this.#closed) for (const { message, at } of this.#soon.splice(0)) this.#answer(link, message, nak(at - now));
    else this.#move();
  }

  /** Moves the messages that are due, in that order, and waits for the others. */
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

  #read(message: Msg, facts: DeliveryFacts, now: number): Due | undefined {
    const { storedAt, sequence } = facts;
    const read = this.#queue.names.readDelayed(message.subject);
    if (read === undefined) return undefined;
    return { message, at: this.#dueAt(facts, read.delay, now), subject: read.subject, storedAt, sequence };
  }

  /** If the server's clock was set since this process requeued it, the own clock counts. */
  #dueAt(place: Place, delay: number, now: number): number {
    // If the time of storage is in the future, the clock was set since.
    const at = Math.min(place.storedAt, now) + delay;
    const token = tokenOf(place);
    const due = this.#requeued.dueAt(token);
    if (due === undefined) return at;
    this.#requeued.delete(token);
    const atByOwnClock = now + due - performance.now();
    return Math.abs(atByOwnClock - at) > JITTER ? atByOwnClock : at;
  }

  #forward(link: NatsLink, due: Due): Promise<void> {
    const { message, subject } = due;
    const { dedupeWindow } = this.#queue.topology;
    const headers = forwardHeaders(message, due, { dedupeWindow, now: this.#clock.now });
    return this.#orLater(link, message, tokenOf(due), async () => {
      await store(link, subject, message.data, headers);
      await link.request(message.reply as string, ACK);
    });
  }

  #quarantine(link: NatsLink, message: Msg, token: string): Promise<void> {
    return this.#orLater(link, message, token, async () => {
      await quarantine(this.#queue, link, message, 'its subject contains no delay');
      this.#answer(link, message, ACK);
    });
  }

  /** Moves a message. If the server refuses, requeues it for another attempt. */
  async #orLater(link: NatsLink, message: Msg, token: string, move: () => Promise<void>): Promise<void> {
    try {
      await move();
      this.#refusals.accepted(token);
    } catch (error) {
      // After a lost connection, the lease expires.
      if (!link.isUp) return;
      this.#refused(token, error);
      this.#answer(link, message, nak(RETRY_PAUSE));
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
function tokenOf({ sequence, storedAt }: Place): string {
  return `${sequence}-${storedAt}`;
}

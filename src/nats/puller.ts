import { type Msg, nanos, type Subscription } from '@nats-io/transport-node';
import { type NatsLink, newInbox } from './link.js';
import { type DeliveryFacts, readFacts } from './message.js';

export interface PullerOptions {
  readonly stream: string;
  readonly consumer: string;
  /** How often the server says that it is there while nothing comes, in milliseconds. */
  readonly heartbeat: number;
  /** How long the server keeps a request, in milliseconds: at least twice as long. */
  readonly expires: number;
  /** How many bytes may be on their way here at a time, as far as the size of what came lately tells. */
  readonly share: () => number;
  /** The average size of the stream's messages, in bytes. Undefined: it held none. Default: the largest that a server takes, unless it is configured otherwise. */
  readonly messageSize?: (() => number | undefined) | undefined;
  /** A message came. */
  readonly onMessage: (message: Msg, facts: DeliveryFacts) => void;
  /** Less is on its way than was asked for: look whether to ask again. */
  readonly onChange: () => void;
  /** The consumer is gone, or no server answers for it. */
  readonly onMissing: (reason: string) => void;
  /** The server does not understand what it is asked, or does not do it. */
  readonly onRefused: (reason: string) => void;
}

/** After how many milliseconds without a request the consumer may have been replaced unnoticed. */
const IDLE = 1000;

/** How many heartbeats may be missed. */
const MISSED = 2;

/** How many messages a request asks for at most. */
const MOST_ASKED = 1000;

/** The size of a message, in bytes: the largest that servers take by default, what is assumed for an empty stream, and the least that is assumed. */
const LARGEST = 1024 * 1024;
const UNKNOWN = 32 * 1024;
const LEAST = 1024;

/** How quickly a large message is forgotten while smaller ones come, with each of them. */
const FORGOTTEN = 0.95;

/** The headers of a request's end that say how much of it was not served. */
const PENDING_MESSAGES = 'Nats-Pending-Messages';

/** What the server says when a consumer is not there any more. */
const GONE = /deleted/i;

/** Asks a consumer for messages, no more than there is room for, and hears when that is of no use. */
export class Puller {
  readonly #options: PullerOptions;
  #link: NatsLink | undefined;
  #inbox = '';
  #subscription: Subscription | undefined;
  /** How many messages were asked for and have not come. */
  #asked = 0;
  /** How large messages may be that come next, in bytes: as the largest that came lately. */
  #size: number;
  #heardAt = 0;
  /** When the last message came. */
  #cameAt = Number.NEGATIVE_INFINITY;
  #watch: NodeJS.Timeout | undefined;

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#size = options.messageSize === undefined ? LARGEST : LEAST;
  }

  /** How many messages may still come. */
  get asked(): number {
    return this.#asked;
  }

  /** Whether the last request is so long ago that the consumer may have been replaced unnoticed. */
  get isIdle(): boolean {
    return this.#asked === 0 && performance.now() - this.#heardAt > IDLE;
  }

  /** Whether something has come lately. */
  get isBusy(): boolean {
    return performance.now() - this.#cameAt < IDLE;
  }

  /** The consumer was found to be the same. */
  confirm(): void {
    this.#heardAt = performance.now();
  }

  /** Begins over a link, with nothing asked for. */
  start(link: NatsLink): void {
    this.stop();
    this.#link = link;
    this.#heardAt = performance.now();
    this.#inbox = newInbox(link.connection);
    const inbox = this.#inbox;
    const { messageSize } = this.#options;
    if (messageSize !== undefined) this.#size = Math.max(this.#size, messageSize() ?? UNKNOWN);
    this.#subscription = link.connection.subscribe(inbox, {
      callback: (error, message) =>
        error === null ? this.#received(message, inbox) : this.#options.onMissing(error.message),
    });
  }

  /**
   * Asks for so many more, or for as many as may be on their way. Not by `max_bytes`: before 2.10, a server that ends a request for that reason loses some messages
   * until their leases expire.
   */
  pull(more: number): void {
    const { stream, consumer, heartbeat, expires, share } = this.#options;
    const most = Math.max(1, Math.floor(share() / this.#size));
    const count = Math.min(more, MOST_ASKED, most - this.#asked);
    // Some at a time, as ever.
    if (count <= 0 || (count < more && this.#asked > most / 2)) return;
    const request = { batch: count, expires: nanos(expires), idle_heartbeat: nanos(heartbeat) };
    const link = this.#link;
    link?.publish(`${link.api}.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), {
      reply: this.#inbox,
    });
    this.#asked += count;
    if (this.#watch === undefined) this.#listen();
  }

  /** Takes back what was asked for. What is on its way already still comes. Resolves when the server will not serve it any more. */
  async withdraw(): Promise<void> {
    const link = this.#link;
    if (link === undefined || this.#asked === 0) return;
    // The server drops a request whose reply subject has no subscriber. The messages that it has sent still arrive.
    // If that fails, the connection is lost, and the subscription with it.
    void this.#subscription?.drain().catch(() => {});
    this.#subscription = undefined;
    this.start(link);
    // It drops it when it looks at its requests, as it does to tell of them. Before 2.10, a message that it would have served it with is not delivered to anybody
    // until its lease is over.
    await link.manager.consumers.info(this.#options.stream, this.#options.consumer);
  }

  /** Nothing that was asked for will come: the link is lost, or the consumer. */
  stop(): void {
    clearTimeout(this.#watch);
    this.#watch = undefined;
    this.#asked = 0;
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#link = undefined;
  }

  #received(message: Msg, inbox: string): void {
    // An answer to a request that was taken back says nothing about the others.
    const current = inbox === this.#inbox;
    if (current) this.#heardAt = performance.now();
    const facts = readFacts(message.reply ?? '');
    if (facts !== undefined) {
      if (current) this.#asked = Math.max(0, this.#asked - 1);
      this.#cameAt = performance.now();
      this.#size = Math.max(message.data.length, this.#size * FORGOTTEN, LEAST);
      this.#options.onMessage(message, facts);
    } else if (current) this.#ended(message);
  }

  /** The server says that it is there, or that a request has ended. */
  #ended({ headers }: Msg): void {
    const { onChange, onMissing } = this.#options;
    const code = headers?.code ?? 0;
    if (code === 100) return;
    if (code === 503 || (code === 409 && GONE.test(headers?.description ?? ''))) {
      onMissing(headers?.description || 'no server answers for the consumer');
      return;
    }
    if (code === 400) this.#options.onRefused(headers?.description ?? 'a bad request');
    // What ends for another reason (its time, another leader, the server going down) says how much of it is left; one that does not say was one.
    this.#asked = Math.max(0, this.#asked - Number(headers?.get(PENDING_MESSAGES) || 1));
    onChange();
  }

  #listen(): void {
    const { heartbeat, onMissing } = this.#options;
    this.#heardAt = performance.now();
    let missed = 0;
    let pinging = false;
    const look = () => {
      this.#watch = undefined;
      if (this.#asked === 0) return;
      if (performance.now() - this.#heardAt <= heartbeat) missed = 0;
      // While the server does not answer a ping, the link is slow or dead, and the consumer may be well.
      else if (!pinging) {
        missed += 1;
        pinging = true;
        const answered = () => {
          pinging = false;
        };
        void this.#link?.flush().then(answered, answered);
      }
      if (missed > MISSED) onMissing(`nothing was heard of it for ${MISSED} heartbeats`);
      else this.#watch = setTimeout(look, heartbeat);
    };
    this.#watch = setTimeout(look, heartbeat);
  }
}

/** How often the server has to be heard of, at most and at least, in milliseconds. */
const LEAST_HEARTBEAT = 500;
const MOST_HEARTBEAT = 5000;

/** How often the server has to be heard of during a lease, in milliseconds. */
export function heartbeatFor(lease: number): number {
  return Math.min(MOST_HEARTBEAT, Math.max(LEAST_HEARTBEAT, Math.floor(lease / 3)));
}

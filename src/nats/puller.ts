import { type Msg, nanos, type Subscription } from '@nats-io/transport-node';
import { type NatsLink, newInbox } from './link.js';
import { type DeliveryFacts, readFacts } from './message.js';

export interface PullerOptions {
  readonly stream: string;
  readonly consumer: string;
  /** The time between two heartbeats of the consumer while it is idle, in milliseconds. */
  readonly heartbeat: number;
  /** How long the server keeps a request, in milliseconds: at least two heartbeats. */
  readonly expires: number;
  /** How many bytes may be in transit, as far as the size of the last messages tells. */
  readonly share: () => number;
  /** The average size of the stream's messages, in bytes. Default: the maximum of most servers. */
  readonly messageSize?: (() => number | undefined) | undefined;
  readonly onMessage: (message: Msg, facts: DeliveryFacts) => void;
  /** Fewer messages are requested than before: the owner may pull again. */
  readonly onChange: () => void;
  readonly onMissing: (reason: string) => void;
  readonly onRefused: (reason: string) => void;
}

/** After how long without a request the consumer may have been replaced, in milliseconds. */
const IDLE = 1000;

const MAX_MISSED = 2;

const MAX_BATCH = 1000;

/** Sizes of a message in bytes: the default maximum of servers, of an empty stream, the minimum. */
const LARGEST = 1024 * 1024;
const UNKNOWN = 32 * 1024;
const SMALLEST = 1024;

/** By which factor the expected size shrinks with each smaller message. */
const DECAY = 0.95;

/** The header that says how much of a request was not served when it ended. */
const PENDING_MESSAGES = 'Nats-Pending-Messages';

const GONE = /deleted/i;

/** Requests messages from a consumer, and notices when the consumer is gone. */
export class Puller {
  readonly #options: PullerOptions;
  #link: NatsLink | undefined;
  #inbox = '';
  #subscription: Subscription | undefined;
  #asked = 0;
  /** The expected size of the next messages, in bytes: that of the largest recent one. */
  #size: number;
  #heardAt = 0;
  #receivedAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PullerOptions) {
    this.#options = options;
    this.#size = options.messageSize === undefined ? LARGEST : SMALLEST;
  }

  get asked(): number {
    return this.#asked;
  }

  /** Whether the consumer may have been replaced since the last request. */
  get isIdle(): boolean {
    return this.#asked === 0 && performance.now() - this.#heardAt > IDLE;
  }

  get isBusy(): boolean {
    return performance.now() - this.#receivedAt < IDLE;
  }

  confirm(): void {
    this.#heardAt = performance.now();
  }

  /** Starts over a link, without requests. */
  start(link: NatsLink): void {
    this.stop();
    this.#link = link;
    this.#heardAt = performance.now();
    this.#inbox = newInbox(link.connection);
    const inbox = this.#inbox;
    const { messageSize, onMissing } = this.#options;
    if (messageSize !== undefined) this.#size = Math.max(this.#size, messageSize() ?? UNKNOWN);
    this.#subscription = link.connection.subscribe(inbox, {
      callback: (error, message) => (error === null ? this.#received(message, inbox) : onMissing(error.message)),
    });
  }

  /**
   * Requests this many more messages, or as many as may be in transit. Not by `max_bytes`: before
   * 2.10, a server that ends a request for that reason loses messages until their leases expire.
   */
  pull(more: number): void {
    const { stream, consumer, heartbeat, expires, share } = this.#options;
    const most = Math.max(1, Math.floor(share() / this.#size));
    const count = Math.min(more, MAX_BATCH, most - this.#asked);
    // Several at a time: a request costs the server as much as a message.
    if (count <= 0 || (count < more && this.#asked > most / 2)) return;
    const request = { batch: count, expires: nanos(expires), idle_heartbeat: nanos(heartbeat) };
    const link = this.#link;
    link?.publish(`${link.api}.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(request), {
      reply: this.#inbox,
    });
    this.#asked += count;
    if (this.#timer === undefined) this.#listen();
  }

  /** Cancels the requests. Resolves when the server has sent all messages that it will send. */
  async withdraw(): Promise<void> {
    const link = this.#link;
    if (link === undefined || this.#asked === 0) return;
    // The server drops a request whose reply subject has no subscriber. If draining fails, the
    // connection is lost, and the subscription with it.
    void this.#subscription?.drain().catch(() => {});
    this.#subscription = undefined;
    this.start(link);
    // The server drops it when it reads its requests, as for this. Before 2.10, it would otherwise
    // use the request for a message that nobody gets until the lease expires.
    await link.manager.consumers.info(this.#options.stream, this.#options.consumer);
  }

  /** The link or the consumer is lost: no requested message will arrive. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#asked = 0;
    this.#subscription?.unsubscribe();
    this.#subscription = undefined;
    this.#link = undefined;
  }

  #received(message: Msg, inbox: string): void {
    // A response to a cancelled request says nothing about the others.
    const isCurrent = inbox === this.#inbox;
    if (isCurrent) this.#heardAt = performance.now();
    const facts = readFacts(message.reply ?? '');
    if (facts !== undefined) {
      if (isCurrent) this.#asked = Math.max(0, this.#asked - 1);
      this.#receivedAt = performance.now();
      this.#size = Math.max(message.data.length, this.#size * DECAY, SMALLEST);
      this.#options.onMessage(message, facts);
    } else if (isCurrent) this.#statusReceived(message);
  }

  #statusReceived({ headers }: Msg): void {
    const { onChange, onMissing, onRefused } = this.#options;
    const { code = 0, description = '' } = headers ?? {};
    const isHeartbeat = code === 100;
    if (isHeartbeat) return;
    if (code === 503 || (code === 409 && GONE.test(description))) {
      onMissing(description || 'no server answers for the consumer');
      return;
    }
    if (code === 400) onRefused(description || 'a bad request');
    // A request that ends for another reason says how much was not served. Otherwise it was one.
    this.#asked = Math.max(0, this.#asked - Number(headers?.get(PENDING_MESSAGES) || 1));
    onChange();
  }

  /** Reports missed heartbeats while messages are requested. */
  #listen(): void {
    const { heartbeat, onMissing } = this.#options;
    this.#heardAt = performance.now();
    let missed = 0;
    let isPinging = false;
    const check = () => {
      this.#timer = undefined;
      if (this.#asked === 0) return;
      if (performance.now() - this.#heardAt <= heartbeat) missed = 0;
      // Until the server answers a ping, the link is slow or dead, and the consumer may be fine.
      else if (!isPinging) {
        missed += 1;
        isPinging = true;
        const answered = () => {
          isPinging = false;
        };
        void this.#link?.flush().then(answered, answered);
      }
      if (missed > MAX_MISSED) onMissing(`it has missed more than ${MAX_MISSED} heartbeats`);
      else this.#timer = setTimeout(check, heartbeat);
    };
    this.#timer = setTimeout(check, heartbeat);
  }
}

const MIN_HEARTBEAT = 500;
const MAX_HEARTBEAT = 5000;

/** Returns the time between two heartbeats for a lease, in milliseconds. */
export function heartbeatFor(lease: number): number {
  return Math.min(MAX_HEARTBEAT, Math.max(MIN_HEARTBEAT, Math.floor(lease / 3)));
}

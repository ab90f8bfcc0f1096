import { within } from '../core/deadline.js';
import type { Incoming, LinkChannel, QueueCounts } from './client.js';
import { nextTurn } from './deadlines.js';
import type { RabbitLink } from './link.js';
import { comparePlaces, type Received } from './message.js';
import { type Consumer, SilentConsumers } from './silent-consumers.js';

/**
 * How a delivery is settled on its channel. A nack and a reject requeue the message. From version
 * 4.3 on, RabbitMQ counts a reject toward a `delivery-limit`, but not a nack.
 */
type Method = 'ack' | 'nack' | 'reject';

/** A delivery of the channel. */
export interface Delivered {
  readonly tag: number;
  /** Undefined if the message is unreadable. */
  readonly received?: Received;
  /** Whether this is the first delivery of the message to any consumer. */
  readonly isFirst?: boolean;
}

interface ChannelSettlement {
  readonly item: Delivered;
  readonly method: Method;
  /** As `performance.now()`. */
  sentAt: number;
  readonly resolve: (counted: boolean) => void;
}

export interface GroupChannelOptions {
  /**
   * Called when a consumer gets no more messages. `queue` is its queue, if the broker has cancelled
   * a consumer that had messages in flight.
   */
  readonly onCancelled: (error: unknown, queue: string | undefined) => void;
  /** The broker may redeliver a message that was acknowledged just before the channel ended. */
  readonly onUnconfirmed: (item: Delivered) => void;
}

/**
 * If the channel ends before the confirm of an ack, the ack counts if it was sent less than this
 * many milliseconds before. If it was sent earlier, the broker was gone, and redelivers the
 * message.
 */
const TRANSIT_TIME = 1000;

/** How long a consumer waits for requested messages before it is cancelled, in milliseconds. */
const LONGEST_DELIVERY = 100;

/**
 * The channel of one subscriber. Its deliveries can be settled on this channel only.
 *
 * Settlements of one turn are sent together. The broker does not answer a settlement, so the answer
 * to the next request confirms them.
 */
export class GroupChannel {
  /** Resolves with its cause when the channel has ended. */
  readonly closed: Promise<unknown>;
  readonly #link: RabbitLink;
  readonly #channel: LinkChannel;
  readonly #options: GroupChannelOptions;
  /** The tags of unsettled deliveries, in order, with their consumers. */
  readonly #outstanding = new Map<number, Consumer>();
  readonly #consumers = new Set<Consumer>();
  /** Consumers whose cancellation is unconfirmed: the broker may still count them. */
  readonly #leaving = new Set<Consumer>();
  #lastConsumer: Consumer | undefined;
  #consumerCount = 0;
  /** How many messages of a queue may be in flight. */
  #prefetch = 1;
  /** When the broker last got credit, as `performance.now()`. */
  #creditedAt = 0;
  /** Called when a consumer that is about to be cancelled has used its prefetch. */
  #onFull: (() => void) | undefined;
  readonly #silent: SilentConsumers;
  #waiting: ChannelSettlement[] = [];
  /** Whether settlements wait: the broker would use their credit for more deliveries. */
  #holding = false;
  #sent: ChannelSettlement[] = [];
  /** Settlements that the next answer confirms. */
  #confirmable: ChannelSettlement[] = [];
  /** The result of the last settlement. They are confirmed in order. */
  #last: Promise<unknown> = Promise.resolve();
  #scheduled: NodeJS.Immediate | undefined;
  #confirming: Promise<void> | undefined;
  /** The last pause. */
  #paused: Promise<void> = Promise.resolve();
  #cancelled: Promise<void> | undefined;
  #hasRequeued = false;
  #over = false;

  private constructor(link: RabbitLink, channel: LinkChannel, closed: Promise<unknown>, options: GroupChannelOptions) {
    this.#link = link;
    this.#channel = channel;
    this.#options = options;
    this.#silent = new SilentConsumers({
      channel,
      consumers: this.#consumers,
      hasCredit: () => this.#outstanding.size < this.#prefetch,
      pause: (milliseconds) => this.lasts(milliseconds),
      onSilent: (error) => options.onCancelled(error, undefined),
    });
    channel.on('basic.cancel', (tag, error) => this.#cancelledByBroker(tag, error));
    this.closed = closed.then((cause) => {
      this.abandon();
      return cause;
    });
  }

  static async open(link: RabbitLink, options: GroupChannelOptions): Promise<GroupChannel> {
    let end!: (cause: unknown) => void;
    const closed = new Promise<unknown>((resolve) => {
      end = resolve;
    });
    return new GroupChannel(link, await link.openChannel((cause) => end(cause)), closed, options);
  }

  /** Whether a message was requeued here. It may have been redelivered already, out of order. */
  get hasRequeued(): boolean {
    return this.#hasRequeued;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Whether the last consumer has used its prefetch, so that no message is in transit to it. */
  get isFull(): boolean {
    let here = 0;
    for (const consumer of this.#outstanding.values()) if (consumer === this.#lastConsumer) here++;
    return here >= this.#prefetch;
  }

  /** Counts the messages and the consumers of a queue. Rejects if it does not exist. */
  look(queue: string): Promise<QueueCounts> {
    return this.#channel.queueDeclare({ queue, passive: true });
  }

  /**
   * Counts the consumers of a queue that the broker counts for this channel: a cancelled one until
   * its cancellation is confirmed and all its deliveries are settled.
   */
  countConsumers(queue: string): number {
    const consumers = new Set([...this.#consumers, ...this.#leaving, ...this.#outstanding.values()]);
    return [...consumers].filter((consumer) => consumer.queue === queue).length;
  }

  /** Resolves after this many milliseconds, or when the channel has ended. */
  lasts(milliseconds: number): Promise<void> {
    return within(milliseconds, this.closed);
  }

  /** Consumes a queue, with at most `prefetch` unsettled messages. */
  async consume(queue: string, prefetch: number, deliver: (message: Incoming) => void): Promise<void> {
    // `basic.qos` applies to the consumers that follow.
    this.#prefetch = prefetch;
    await this.#channel.basicQos({ prefetchCount: prefetch });
    if (this.#cancelled !== undefined) return;
    const consumerTag = `${this.#consumerCount++}`;
    const consumer = { consumerTag, queue };
    this.#lastConsumer = consumer;
    this.#consumers.add(consumer);
    this.#creditedAt = performance.now();
    await this.#channel.basicConsume({ queue, consumerTag }, (message) => {
      if (this.#over) return;
      this.#silent.noteActivity();
      this.#outstanding.set(message.deliveryTag, consumer);
      if (this.#onFull !== undefined && this.isFull) this.#onFull();
      deliver(message);
    });
  }

  /** Cancels the consumers. Resolves when no more messages arrive, or the channel has ended. */
  pause(): Promise<void> {
    // An earlier pause may be unconfirmed.
    this.#paused = this.#paused.then(() => this.#cancelConsumers());
    return this.#paused;
  }

  /** Pauses for good. */
  cancel(): Promise<void> {
    this.#cancelled ??= this.pause();
    return this.#cancelled;
  }

  /** Sends no settlement until `release()` is called. */
  hold(): void {
    this.#holding = true;
  }

  release(): void {
    this.#holding = false;
    this.#schedule();
  }

  /**
   * Settles a delivery. Resolves to whether that counted. After the end of the channel only a
   * requeue counts: the broker requeues everything.
   */
  settle(item: Delivered, method: Method): Promise<boolean> {
    if (this.#over) return Promise.resolve(method !== 'ack');
    if (method !== 'ack') this.#hasRequeued = true;
    this.#silent.noteActivity();
    const counted = new Promise<boolean>((resolve) => {
      this.#waiting.push({ item, method, sentAt: Number.NEGATIVE_INFINITY, resolve });
    });
    this.#last = counted;
    this.#schedule();
    return counted;
  }

  /** Resolves when all settlements of now are confirmed. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /**
   * Resolves when the broker has read all requests, and all messages that it had sent have arrived.
   * @throws the cause if the channel has ended (a rejection)
   */
  async barrier(): Promise<void> {
    await this.#channel.basicQos({ prefetchCount: this.#prefetch });
  }

  /** Sends all settlements, then closes the channel. The broker requeues unsettled deliveries. */
  async close(): Promise<void> {
    this.release();
    await this.settled();
    await this.#channel.close();
    await this.closed;
  }

  /** Sends and delivers nothing more. */
  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    this.#silent.stop();
    clearImmediate(this.#scheduled);
    const unconfirmed = [...this.#confirmable, ...this.#sent, ...this.#waiting];
    this.#confirmable = this.#sent = this.#waiting = [];
    const recent = this.#link.wasBlocked ? Number.POSITIVE_INFINITY : performance.now() - TRANSIT_TIME;
    for (const { item, method, sentAt, resolve } of unconfirmed) {
      const wasInTransit = method === 'ack' && sentAt > recent;
      if (wasInTransit) this.#options.onUnconfirmed(item);
      resolve(wasInTransit || method !== 'ack');
    }
  }

  #cancelledByBroker(consumerTag: string, error: unknown): void {
    const consumer = [...this.#consumers, ...this.#leaving].find((each) => each.consumerTag === consumerTag);
    const hasInFlight = consumer !== undefined && [...this.#outstanding.values()].includes(consumer);
    this.#options.onCancelled(error, hasInFlight ? consumer.queue : undefined);
  }

  async #cancelConsumers(): Promise<void> {
    const consumers = [...this.#consumers];
    this.#consumers.clear();
    for (const consumer of consumers) this.#leaving.add(consumer);
    try {
      // If a consumer is cancelled, a quorum queue requeues messages in transit to it, and counts
      // them as delivered.
      await this.#fill();
      // The last one first: most messages come from its queue.
      await Promise.all(consumers.reverse().map(({ consumerTag }) => this.#channel.basicCancel({ consumerTag })));
      // The client delivers what has arrived in a later turn.
      await nextTurn();
    } catch {
      // The channel has ended.
    }
    for (const consumer of consumers) this.#leaving.delete(consumer);
    this.#onFull = undefined;
    this.#schedule();
  }

  /** Gives no more credit. Resolves when the messages in transit have arrived. */
  async #fill(): Promise<void> {
    const left = this.#creditedAt + LONGEST_DELIVERY - performance.now();
    const full = new Promise<void>((resolve) => {
      this.#onFull = resolve;
    });
    if (!this.isFull && left > 0) await Promise.race([full, this.lasts(left)]);
  }

  #schedule(): void {
    if (!this.#over) this.#scheduled ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = undefined;
    if (this.#holding || this.#onFull !== undefined || this.#waiting.length === 0) return;
    const settlements = this.#waiting;
    this.#waiting = [];
    const now = performance.now();
    for (const settlement of settlements) settlement.sentAt = now;
    this.#creditedAt = now;
    this.#sent.push(...settlements);
    // A channel that is about to end sends nothing. Its end settles them.
    if (!this.#channel.active) return;
    // Requeues come first: the broker then uses the credit of an ack for them, not for newer
    // messages.
    this.#requeue(settlements);
    this.#acknowledge(settlements);
    this.#confirming ??= this.#confirm();
  }

  #requeue(settlements: readonly ChannelSettlement[]): void {
    if (!this.#hasRequeued) return;
    const requeued = settlements.filter(({ method }) => method !== 'ack');
    // First deliveries arrive in the order of the queue, whatever the clocks of their publishers
    // say.
    const asDelivered = requeued.every(({ item }) => item.isFirst);
    requeued.sort(({ item: one }, { item: other }) =>
      !asDelivered && one.received && other.received
        ? comparePlaces(one.received.place, other.received.place)
        : one.tag - other.tag,
    );
    for (const { item, method } of requeued) {
      this.#outstanding.delete(item.tag);
      const delivery = { deliveryTag: item.tag, requeue: true };
      if (method === 'reject') this.#channel.basicReject(delivery);
      else this.#channel.basicNack(delivery);
    }
  }

  /** One call acknowledges all deliveries up to a tag, if none of them is unsettled. */
  #acknowledge(settlements: readonly ChannelSettlement[]): void {
    const acked = new Set<number>();
    for (const { item, method } of settlements) if (method === 'ack') acked.add(item.tag);
    let upTo: number | undefined;
    for (const tag of this.#outstanding.keys()) {
      if (!acked.delete(tag)) break;
      this.#outstanding.delete(tag);
      upTo = tag;
    }
    if (upTo !== undefined) this.#channel.basicAck({ deliveryTag: upTo, multiple: true });
    for (const tag of acked) {
      this.#outstanding.delete(tag);
      this.#channel.basicAck({ deliveryTag: tag });
    }
  }

  async #confirm(): Promise<void> {
    try {
      while (this.#sent.length > 0) {
        this.#confirmable = this.#sent;
        this.#sent = [];
        await this.barrier();
        const confirmed = this.#confirmable;
        this.#confirmable = [];
        for (const { resolve } of confirmed) resolve(true);
      }
    } catch {
      // The end of the channel settles them.
    }
    this.#confirming = undefined;
  }
}

import { within } from '../core/deadline.js';
import type { Incoming, LinkChannel } from './client.js';
import type { RabbitLink } from './link.js';
import { comparePlaces, type Place } from './message.js';
import { codeOf } from './rabbitmq-errors.js';

/**
 * What becomes of a delivery: it is done with, or it is requeued. RabbitMQ 4.3 counts `failed` toward a
 * `delivery-limit`, and `back` not.
 */
type Verdict = 'ack' | 'back' | 'failed';

/** A delivery of the channel. */
export interface Delivered {
  readonly tag: number;
  readonly place?: Place;
  /** It had not been delivered to anybody before. */
  readonly isFirst?: boolean;
}

/** What the broker delivers from a queue, from when it is asked to until it is told to stop. */
interface Consumer {
  readonly consumerTag: string;
  readonly queue: string;
}

interface Settlement<Item extends Delivered> {
  readonly item: Item;
  readonly verdict: Verdict;
  /** By the clock of `performance`. */
  sentAt: number;
  readonly resolve: (counted: boolean) => void;
}

export interface GroupChannelOptions<Item extends Delivered> {
  /** The consumer of a queue gets no more messages. The queue is undefined if the broker did not say so, or if the consumer had no message in flight. */
  readonly onCancelled: (error: unknown, queue: string | undefined) => void;
  /** The channel ended just when this was acknowledged. The broker may deliver it again: then it is done with already. */
  readonly onUnanswered: (item: Item) => void;
}

/**
 * How long after it was sent an acknowledgement is taken for received though the channel has ended without an answer, in milliseconds. A broker that has not
 * answered for longer was not there any more, and has given the message to another.
 */
const ON_ITS_WAY = 1000;

/** After what time without a message it looks whether the broker still delivers, in milliseconds; how often it has to find that it does not, and how long after one another. */
const LOOK = 5000;
const LOOKS = 5;
const BETWEEN_LOOKS = 200;

/** How long after it was asked for a message may be on its way, in milliseconds, before its consumer is cancelled all the same. */
const LONGEST_WAY = 100;

/** The broker delivers nothing, and does not say why. */
class SilentError extends Error {}

/**
 * One channel for one subscriber, for as long as it lasts. The tags of its deliveries mean nothing on another, so they are settled here or not at all.
 *
 * Settlements of one turn travel together, and an answer to what was sent after them confirms them: to a settlement alone the broker gives none.
 */
export class GroupChannel<Item extends Delivered> {
  /** Resolves with its cause when the channel has ended. */
  readonly closed: Promise<unknown>;
  readonly #link: RabbitLink;
  readonly #channel: LinkChannel;
  readonly #options: GroupChannelOptions<Item>;
  /** Tags that came and were not settled, in order, with their consumers. */
  readonly #outstanding = new Map<number, Consumer>();
  readonly #consumers = new Set<Consumer>();
  /** Consumers whose cancellation the broker has not answered: it may still count them. */
  readonly #leaving = new Set<Consumer>();
  /** The one that was added last. */
  #lastConsumer: Consumer | undefined;
  /** How many consumers there were. */
  #tags = 0;
  /** How many messages of a queue may be out at a time. */
  #prefetch = 1;
  /** When the broker got room to deliver more, by the clock of `performance`. */
  #askedAt = 0;
  /** A consumer is about to be cancelled: called when it has all that it may have. */
  #onFull: (() => void) | undefined;
  readonly #watch: NodeJS.Timeout;
  /** Something has come, or was settled, since the last look. */
  #stirred = true;
  #waiting: Settlement<Item>[] = [];
  /** Nothing is settled for now: the broker would use the room to deliver more, or the same again. */
  #holding = false;
  #sent: Settlement<Item>[] = [];
  #travelling: Settlement<Item>[] = [];
  /** The answer to the one that was added last. They are answered in order. */
  #last: Promise<unknown> = Promise.resolve();
  #scheduled: NodeJS.Immediate | undefined;
  #confirming: Promise<void> | undefined;
  /** The last pause. */
  #paused: Promise<void> = Promise.resolve();
  #cancelled: Promise<void> | undefined;
  #gaveBack = false;
  #over = false;

  private constructor(
    link: RabbitLink,
    channel: LinkChannel,
    closed: Promise<unknown>,
    options: GroupChannelOptions<Item>,
  ) {
    this.#link = link;
    this.#channel = channel;
    this.#options = options;
    this.#watch = setInterval(() => void this.#look(), LOOK).unref();
    this.closed = closed.then((cause) => {
      this.abandon();
      return cause;
    });
  }

  static async open<Item extends Delivered>(
    link: RabbitLink,
    options: GroupChannelOptions<Item>,
  ): Promise<GroupChannel<Item>> {
    let end!: (cause: unknown) => void;
    const closed = new Promise<unknown>((resolve) => {
      end = resolve;
    });
    const channel = await link.openChannel((cause) => end(cause));
    const opened = new GroupChannel(link, channel, closed, options);
    channel.on('basic.cancel', (consumerTag, error) => {
      const consumer = [...opened.#consumers, ...opened.#leaving].find((each) => each.consumerTag === consumerTag);
      const isHolding = consumer !== undefined && [...opened.#outstanding.values()].includes(consumer);
      options.onCancelled(error, isHolding ? consumer.queue : undefined);
    });
    return opened;
  }

  /** Whether something was given back here. The broker may have delivered it again already, behind what came after it at first. */
  get gaveBack(): boolean {
    return this.#gaveBack;
  }

  /** How many messages wait in a queue, which is declared. */
  async count(queue: string): Promise<number> {
    return (await this.#channel.queueDeclare({ queue, passive: true })).messageCount;
  }

  /** Returns whether a queue has consumers, also on other channels. Rejects if there is no such queue. */
  async isConsumed(queue: string): Promise<boolean> {
    return (await this.#channel.queueDeclare({ queue, passive: true })).consumerCount > 0;
  }

  /** How many consumers of a queue the broker counts for this channel: also a cancelled one, until the broker has answered and all that it delivered is settled. */
  countConsumers(queue: string): number {
    const consumers = new Set([...this.#consumers, ...this.#leaving, ...this.#outstanding.values()]);
    return [...consumers].filter((consumer) => consumer.queue === queue).length;
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Resolves after so many milliseconds, or when the channel has ended. */
  lasts(milliseconds: number): Promise<void> {
    return within(milliseconds, this.closed);
  }

  /** Takes messages of a queue, as many unsettled at a time as the prefetch says. */
  async consume(queue: string, prefetch: number, deliver: (message: Incoming) => void): Promise<void> {
    // It is for the consumers that follow.
    this.#prefetch = prefetch;
    await this.#channel.basicQos({ prefetchCount: prefetch });
    if (this.#cancelled !== undefined) return;
    const consumerTag = `${this.#tags++}`;
    const consumer = { consumerTag, queue };
    this.#lastConsumer = consumer;
    this.#consumers.add(consumer);
    this.#askedAt = performance.now();
    await this.#channel.basicConsume({ queue, consumerTag }, (message) => {
      if (this.#over) return;
      this.#stirred = true;
      this.#outstanding.set(message.deliveryTag, consumer);
      if (this.#onFull !== undefined && this.isFull) this.#onFull();
      deliver(message);
    });
  }

  /** Settles nothing until `release()` is called. */
  hold(): void {
    this.#holding = true;
  }

  /** Settles what was held. */
  release(): void {
    this.#holding = false;
    this.#schedule();
  }

  /** Whether the last consumer has all that it may have, so that nothing is on its way to it. */
  get isFull(): boolean {
    let here = 0;
    for (const consumer of this.#outstanding.values()) if (consumer === this.#lastConsumer) here++;
    return here >= this.#prefetch;
  }

  /** Takes no more until `consume` is called again. Resolves when nothing more will come, or the channel has ended. */
  pause(): Promise<void> {
    // A pause before may still wait for its answers.
    this.#paused = this.#paused.then(() => this.#cancelConsumers());
    return this.#paused;
  }

  async #cancelConsumers(): Promise<void> {
    const consumers = [...this.#consumers];
    this.#consumers.clear();
    for (const consumer of consumers) this.#leaving.add(consumer);
    try {
      // A quorum queue takes back what is on its way to a consumer that is cancelled, and counts it as delivered.
      await this.#fill();
      // The last one first: it is the one that most comes from.
      await Promise.all(consumers.reverse().map(({ consumerTag }) => this.#channel.basicCancel({ consumerTag })));
      // The client delivers what has come in a later turn.
      await new Promise((resolve) => setImmediate(resolve));
    } catch {
      // The channel has ended, and its end says so.
    }
    for (const consumer of consumers) this.#leaving.delete(consumer);
    this.#onFull = undefined;
    this.#schedule();
  }

  /** Takes no more. Resolves when nothing more will come, or the channel has ended. */
  cancel(): Promise<void> {
    this.#cancelled ??= this.pause();
    return this.#cancelled;
  }

  /** Settles a delivery. Resolves to whether that counted; where the channel has ended, nothing counts but what goes back, as all does then. */
  settle(item: Item, verdict: Verdict): Promise<boolean> {
    if (this.#over) return Promise.resolve(verdict !== 'ack');
    if (verdict !== 'ack') this.#gaveBack = true;
    this.#stirred = true;
    const counted = new Promise<boolean>((resolve) => {
      this.#waiting.push({ item, verdict, sentAt: Number.NEGATIVE_INFINITY, resolve });
    });
    this.#last = counted;
    this.#schedule();
    return counted;
  }

  /** Resolves when all that was settled before is answered. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /** Resolves when the broker has read all that was sent before, and what it had sent by then is here. @throws what has ended the channel (a rejection) */
  async barrier(): Promise<void> {
    await this.#channel.basicQos({ prefetchCount: this.#prefetch });
  }

  /** Closes the channel once the broker has answered every settlement so far, including those held back. Unsettled deliveries go back to the queue. */
  async close(): Promise<void> {
    this.release();
    await this.settled();
    await this.#channel.close();
    await this.closed;
  }

  /** Nothing more is sent or delivered. */
  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    clearInterval(this.#watch);
    clearImmediate(this.#scheduled);
    const unanswered = [...this.#travelling, ...this.#sent, ...this.#waiting];
    this.#travelling = this.#sent = this.#waiting = [];
    const recent = this.#link.wasBlocked ? Number.POSITIVE_INFINITY : performance.now() - ON_ITS_WAY;
    for (const { item, verdict, sentAt, resolve } of unanswered) {
      const wasOnItsWay = verdict === 'ack' && sentAt > recent;
      if (wasOnItsWay) this.#options.onUnanswered(item);
      resolve(wasOnItsWay || verdict !== 'ack');
    }
  }

  /**
   * Looks whether the broker still delivers, when nothing has come for a while though there was room all the time. When a queue is deleted under load, and declared again by
   * somebody, RabbitMQ 3.10 may forget a consumer without a word; and to the channel its deliveries are settled as ever.
   */
  async #look(): Promise<void> {
    const wasIdle = !this.#stirred && this.#outstanding.size < this.#prefetch;
    this.#stirred = false;
    if (!wasIdle) return;
    try {
      for (const consumer of this.#consumers) {
        const found = await this.#silenceOf(consumer);
        if (found !== undefined)
          throw new SilentError(`Queue "${consumer.queue}" has ${found}, and delivers none here`);
      }
    } catch (error) {
      // Any other error ends the channel, which is answer enough.
      if (codeOf(error) === 'NOT_FOUND' || error instanceof SilentError) this.#options.onCancelled(error, undefined);
    }
  }

  /** What a queue has that it should deliver here; undefined: nothing. A message that is on its way to another consumer may be seen to wait, but not each time. */
  async #silenceOf(consumer: Consumer): Promise<string | undefined> {
    const { queue } = consumer;
    let found: string | undefined;
    for (let look = 0; look < LOOKS; look++) {
      if (look > 0) await this.lasts(BETWEEN_LOOKS);
      if (this.#stirred || this.#over || !this.#consumers.has(consumer) || !this.#channel.active) return undefined;
      const { consumerCount, messageCount } = await this.#channel.queueDeclare({ queue, passive: true });
      // The client delivers what has come in a later turn.
      await new Promise((resolve) => setImmediate(resolve));
      if (this.#stirred || !this.#consumers.has(consumer) || (consumerCount > 0 && messageCount === 0))
        return undefined;
      found = `${consumerCount} consumers and ${messageCount} messages`;
    }
    return found;
  }

  /** Makes no more room. Resolves when what is on its way is here. */
  async #fill(): Promise<void> {
    const left = this.#askedAt + LONGEST_WAY - performance.now();
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
    this.#askedAt = now;
    this.#sent.push(...settlements);
    // A channel that is about to end takes nothing any more; its end is the answer.
    if (!this.#channel.active) return;
    // First what goes back: room that an acknowledgement makes is then for it, not for what is newer.
    this.#giveBack(settlements);
    this.#acknowledge(settlements);
    this.#confirming ??= this.#confirm();
  }

  #giveBack(settlements: readonly Settlement<Item>[]): void {
    if (!this.#gaveBack) return;
    const back = settlements.filter(({ verdict }) => verdict !== 'ack');
    // What comes for the first time comes in its order, whatever the clocks of its publishers say.
    const asDelivered = back.every(({ item }) => item.isFirst);
    back.sort(({ item: one }, { item: other }) =>
      !asDelivered && one.place && other.place ? comparePlaces(one.place, other.place) : one.tag - other.tag,
    );
    for (const { item, verdict } of back) {
      this.#outstanding.delete(item.tag);
      const delivery = { deliveryTag: item.tag, requeue: true };
      if (verdict === 'failed') this.#channel.basicReject(delivery);
      else this.#channel.basicNack(delivery);
    }
  }

  /** One call acknowledges all up to a tag: as far as none before it is still out. */
  #acknowledge(settlements: readonly Settlement<Item>[]): void {
    const acked = new Set<number>();
    for (const { item, verdict } of settlements) if (verdict === 'ack') acked.add(item.tag);
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
        this.#travelling = this.#sent;
        this.#sent = [];
        await this.barrier();
        const confirmed = this.#travelling;
        this.#travelling = [];
        for (const { resolve } of confirmed) resolve(true);
      }
    } catch {
      // The end of the channel is the answer.
    }
    this.#confirming = undefined;
  }
}

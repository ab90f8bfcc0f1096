import type { Channel, Incoming } from './client.js';
import type { RabbitLink } from './link.js';
import { comparePlaces, type Place } from './message.js';

/** What becomes of a delivery: it is done with, or it goes back. */
type Verdict = 'ack' | 'back';

interface Settlement {
  readonly tag: number;
  readonly verdict: Verdict;
  readonly place: Place | undefined;
  readonly resolve: (counted: boolean) => void;
}

/**
 * One channel for one subscriber, for as long as it lasts. The tags of its deliveries mean nothing on another, so they are settled here or not at all.
 *
 * Settlements of one turn travel together, and an answer to what was sent after them confirms them: to a settlement alone the broker gives none.
 */
export class GroupChannel {
  /** Resolves with its cause when the channel has ended. */
  readonly closed: Promise<unknown>;
  readonly #channel: Channel;
  readonly #prefetch: number;
  /** Tags that came and were not settled, in order. */
  readonly #outstanding = new Set<number>();
  readonly #consumers = new Set<string>();
  #waiting: Settlement[] = [];
  /** Nothing is settled for now: the broker would use the room to deliver more, or the same again. */
  #holding = false;
  #sent: Settlement[] = [];
  #travelling: Settlement[] = [];
  /** The answer to the one that was added last. They are answered in order. */
  #last: Promise<unknown> = Promise.resolve();
  #scheduled: NodeJS.Immediate | undefined;
  #confirming: Promise<void> | undefined;
  #cancelled: Promise<void> | undefined;
  #gaveBack = false;
  #over = false;

  private constructor(channel: Channel, closed: Promise<unknown>, prefetch: number) {
    this.#channel = channel;
    this.#prefetch = prefetch;
    this.closed = closed.then((cause) => {
      this.abandon();
      return cause;
    });
  }

  /** @param onCancelled the broker has ended a consumer, since its queue is gone */
  static async open(link: RabbitLink, prefetch: number, onCancelled: (error: unknown) => void): Promise<GroupChannel> {
    let end!: (cause: unknown) => void;
    const closed = new Promise<unknown>((resolve) => {
      end = resolve;
    });
    const channel = await link.openChannel((cause) => end(cause));
    channel.on('basic.cancel', (_, error) => onCancelled(error));
    return new GroupChannel(channel, closed, prefetch);
  }

  /** Whether something was given back here. The broker may have delivered it again already, behind what came after it at first. */
  get gaveBack(): boolean {
    return this.#gaveBack;
  }

  /** How many messages wait in a queue, which is declared as it has to be. */
  async count(queue: Parameters<Channel['queueDeclare']>[0]): Promise<number> {
    return (await this.#channel.queueDeclare(queue)).messageCount;
  }

  /** Takes messages of a queue, as many unsettled at a time as the prefetch says. */
  async consume(queue: string, deliver: (message: Incoming) => void): Promise<void> {
    await this.barrier();
    const consumerTag = `${this.#consumers.size}`;
    this.#consumers.add(consumerTag);
    await this.#channel.basicConsume({ queue, consumerTag }, (message) => {
      if (this.#over) return;
      this.#outstanding.add(message.deliveryTag);
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

  /** Takes no more. Resolves when nothing more will come, or the channel has ended. */
  cancel(): Promise<void> {
    this.#cancelled ??= this.#cancel();
    return this.#cancelled;
  }

  /** Settles a delivery. Resolves to whether that counted: not where the channel has ended. */
  settle(tag: number, verdict: Verdict, place?: Place): Promise<boolean> {
    if (this.#over) return Promise.resolve(false);
    if (verdict === 'back') this.#gaveBack = true;
    const counted = new Promise<boolean>((resolve) => {
      this.#waiting.push({ tag, verdict, place, resolve });
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

  /** Ends the channel, when what was settled before is answered. What is still out goes back. */
  async close(): Promise<void> {
    await this.settled();
    await this.#channel.close();
    await this.closed;
  }

  /** Nothing more is sent or delivered. */
  abandon(): void {
    if (this.#over) return;
    this.#over = true;
    clearImmediate(this.#scheduled);
    const unanswered = [...this.#travelling, ...this.#sent, ...this.#waiting];
    this.#travelling = this.#sent = this.#waiting = [];
    for (const { resolve } of unanswered) resolve(false);
  }

  async #cancel(): Promise<void> {
    try {
      // The last one first: it is the one that most comes from.
      await Promise.all([...this.#consumers].reverse().map((consumerTag) => this.#channel.basicCancel({ consumerTag })));
      // The client delivers what has come in a later turn.
      await new Promise((resolve) => setImmediate(resolve));
    } catch {
      // The channel has ended, and its end says so.
    }
  }

  #schedule(): void {
    if (!this.#over) this.#scheduled ??= setImmediate(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = undefined;
    if (this.#holding || this.#waiting.length === 0) return;
    const settlements = this.#waiting;
    this.#waiting = [];
    this.#sent.push(...settlements);
    // A channel that is about to end takes nothing any more; its end is the answer.
    if (!this.#channel.active) return;
    // First what goes back: room that an acknowledgement makes is then for it, not for what is newer.
    this.#giveBack(settlements);
    this.#acknowledge(settlements);
    this.#confirming ??= this.#confirm();
  }

  #giveBack(settlements: readonly Settlement[]): void {
    if (!this.#gaveBack) return;
    const back = settlements.filter(({ verdict }) => verdict === 'back');
    back.sort((one, other) => (one.place && other.place ? comparePlaces(one.place, other.place) : one.tag - other.tag));
    for (const { tag } of back) {
      this.#outstanding.delete(tag);
      this.#channel.basicNack({ deliveryTag: tag, requeue: true });
    }
  }

  /** One call acknowledges all up to a tag: as far as none before it is still out. */
  #acknowledge(settlements: readonly Settlement[]): void {
    const acked = new Set<number>();
    for (const { tag, verdict } of settlements) if (verdict === 'ack') acked.add(tag);
    let upTo: number | undefined;
    for (const tag of this.#outstanding) {
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

import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { type Disposition, FINISH, REQUEUE_UNCOUNTED } from '../core/base-delivery.js';
import { within } from '../core/deadline.js';
import type { DriverDelivery } from '../core/delivery.js';
import type { GroupHost, GroupSession } from '../core/group-loop.js';
import { reconnectBackoff } from '../core/reconnect-backoff.js';
import { COUNTED, NOT_COUNTED } from '../internal/answers.js';
import { onAbort } from '../internal/on-abort.js';
import { type Arrival, arrivalOf, isDuplicate, isInOrder, noteSettled } from './arrival.js';
import type { Incoming } from './client.js';
import { Copies } from './copies.js';
import { nextTurn } from './deadlines.js';
import { GroupChannel } from './group-channel.js';
import type { RabbitLink } from './link.js';
import { comparePlaces, readMessage } from './message.js';
import type { GroupNames } from './names.js';
import { Prefetch } from './prefetch.js';
import { consumerTimedOut, isConsumerTimeout, isTimeoutCancellation } from './rabbitmq-errors.js';
import type { SessionOptions } from './session-options.js';

/** How long a channel waits for delayed nacks before it consumes others, in milliseconds. */
const LONGEST_HEAD_START = 1000;

/** If a channel ends within this many milliseconds after it was opened, the next one waits. */
const STABLE = 5000;

const backoff = reconnectBackoff();

/**
 * Runs the channel of one subscriber, and another one whenever it ends. The broker pushes messages.
 * A settlement is sent on the channel of its delivery.
 */
export class SubscriberSession implements GroupSession<RabbitLink> {
  /** Resolves when the subscriber has left, and its channel has ended. */
  readonly ended: Promise<void>;
  #end!: () => void;
  readonly #host: GroupHost;
  readonly #options: SessionOptions;
  readonly #names: GroupNames;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #intake: CreditIntake;
  readonly #ignoreAbort: () => void;
  #channel: GroupChannel | undefined;
  /** Of the channel. */
  #prefetch: Prefetch | undefined;
  /** How many channels in a row were not stable, and when the last one was opened. */
  #shortLived = 0;
  #openedAt = Number.NEGATIVE_INFINITY;
  /** The messages in flight, by token. */
  readonly #inFlight = new Map<string, Arrival>();
  /** Prefetched messages without credit. Those of the queue `again` come first. */
  readonly #again: Arrival[] = [];
  readonly #next: Arrival[] = [];
  /** Messages that are requeued once no more arrive. */
  #requeues: Arrival[] = [];
  readonly #copies: Copies;
  /** Delayed nacks that were due at the start are still arriving. They are delivered together. */
  #gathering = false;
  /** The intake has ended. */
  #stopped = false;
  /** The subscriber has unsubscribed, or its stream has ended. */
  #left = false;
  #wake: (() => void) | undefined;

  constructor(host: GroupHost, options: SessionOptions, subscriber: Subscriber<Delivery>, intake: CreditIntake) {
    this.#host = host;
    this.#options = options;
    this.#names = options.names.group(options.group);
    this.#copies = new Copies(host, options);
    this.#subscriber = subscriber;
    this.#intake = intake;
    this.#ignoreAbort = onAbort(intake.signal, () => this.#stop());
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** How many messages are in flight here, or not requeued yet. */
  get inFlight(): number {
    return this.#host.inFlight.size + this.#requeues.length + this.#copies.size;
  }

  /** How many prefetched messages wait for credit. */
  get buffered(): number {
    return this.#again.length + this.#next.length;
  }

  /** The unique ids of all messages that are here. */
  get ids(): string[] {
    const all = [...this.#inFlight.values(), ...this.#again, ...this.#next, ...this.#requeues];
    return all.map(({ received }) => received.place.id);
  }

  get hasWork(): boolean {
    if (this.#channel === undefined) return !this.#stopped;
    return this.#stopped || this.buffered > 0 || this.#prefetch?.mayChange === true;
  }

  /** Opens a channel and consumes over it. */
  async begin(link: RabbitLink): Promise<void> {
    const { topology, group, unconfirmed, delayed, existence } = this.#options;
    if (this.#channel !== undefined) return;
    if (this.#shortLived > 1) await this.#sleep(backoff(undefined, this.#shortLived - 1));
    if (this.#stopped) return;
    await topology.open(link, group);
    if (this.#stopped) return;
    const channel = await GroupChannel.open(link, {
      onCancelled: (error, queue) => {
        // The queue closes when it is deleted.
        if (this.#channel !== channel || existence.isDeleting) return;
        topology.forget(link, group);
        this.#lost(channel);
        void this.#closeCancelled(channel, error, queue);
      },
      onUnconfirmed: ({ received }) => received && unconfirmed.add(received),
    });
    this.#channel = channel;
    this.#openedAt = performance.now();
    void channel.closed.then(delayed.subscribed(group, () => channel.countConsumers(this.#names.queue)));
    void channel.closed.then((cause) => this.#lost(channel, cause));
    this.#prefetch = new Prefetch({
      credit: this.#intake.credit,
      isFull: () => channel.isFull,
      pause: () => channel.pause(),
      consume: async (prefetch) => {
        await this.#consumeAgain(channel, prefetch);
        await this.#consumeNext(channel, prefetch);
      },
      onChange: () => this.#host.wake(),
    });
    try {
      await this.#start(channel, this.#prefetch);
    } catch (error) {
      topology.forget(link, group);
      await channel.close();
      throw error;
    }
  }

  async flush(): Promise<void> {
    const channel = this.#channel;
    if (channel === undefined) return;
    if (this.#stopped) return this.#drain(channel);
    this.#prefetch?.follow();
    this.#deliverNext();
  }

  settle({ token }: DriverDelivery, disposition: Disposition): Promise<boolean> {
    const { action, isCounted, delay, quarantine: reason } = disposition;
    const arrival = this.#inFlight.get(token);
    if (arrival === undefined) return NOT_COUNTED;
    this.#inFlight.delete(token);
    const { released, requeued } = this.#options;
    noteSettled(released, arrival, disposition);
    const isRequeued = action === 'requeue';
    if (isRequeued && this.#subscriber.closed) {
      this.#requeues.push(arrival);
      return COUNTED;
    }
    if (reason !== undefined) return this.#copies.giveUp(arrival, reason);
    if (delay > 0) return this.#copies.redeliver(arrival, delay);
    const { channel, received } = arrival;
    if (!isRequeued) return channel.settle(arrival, 'ack');
    requeued.add(received.place.id, 0);
    return channel.settle(arrival, isCounted ? 'reject' : 'nack');
  }

  /** The settlements of a channel end with it. */
  giveUp(): void {}

  async settled(): Promise<void> {
    await this.#copies.confirmed();
    await this.#channel?.settled();
  }

  /** Resolves when all settlements are confirmed, also after a subscriber has left. */
  async requeued(): Promise<void> {
    await (this.#left ? this.ended : this.settled());
  }

  /** Resolves when all messages that the broker had sent have arrived. */
  async arrived(): Promise<void> {
    // Over a channel that has ended, nothing arrives.
    await this.#channel?.barrier().catch(() => {});
    await nextTurn();
  }

  /** Removes the messages that wait here for credit. Resolves to how many. */
  async purge(): Promise<number> {
    const waiting = this.#takeBuffered(FINISH);
    const counted = await Promise.all(waiting.map((arrival) => arrival.channel.settle(arrival, 'ack')));
    return counted.filter(Boolean).length;
  }

  /** The subscriber has unsubscribed, or its stream has ended: its messages are requeued. */
  unsubscribed(): void {
    this.#stop();
    this.#left = true;
    if (this.#channel === undefined) this.#end();
    else this.#host.wake();
  }

  async leave(): Promise<void> {
    while (this.#channel !== undefined && !this.#channel.isOver) await this.#drain(this.#channel);
  }

  stop(): void {
    this.#stop();
    this.#channel?.abandon();
    this.#end();
  }

  /** Consumes the delayed nacks that are due. */
  #consumeAgain(channel: GroupChannel, prefetch: number, onMessage?: () => void): Promise<void> {
    return channel.consume(this.#names.again, prefetch, (message) => {
      this.#receive(channel, message, this.#again);
      onMessage?.();
    });
  }

  #consumeNext(channel: GroupChannel, prefetch: number): Promise<void> {
    return channel.consume(this.#names.queue, prefetch, (message) => this.#receive(channel, message, this.#next));
  }

  /** Consumes the delayed nacks first: they precede the other messages. */
  async #start(channel: GroupChannel, prefetching: Prefetch): Promise<void> {
    const prefetch = prefetching.wanted;
    if (prefetch === 0) return prefetching.begin(0);
    const { messageCount: due } = await channel.look(this.#names.again);
    if (this.#stopped) return;
    const first = Math.min(due, prefetch);
    let arrived = 0;
    this.#gathering = due > 0;
    await this.#consumeAgain(channel, prefetch, () => {
      if (++arrived === first || arrived >= due) this.#wake?.();
    });
    const consumeRest = async () => {
      if (arrived < first) await this.#sleep(LONGEST_HEAD_START);
      // They became due in an order of their own.
      this.#again.sort((one, other) => comparePlaces(one.received.place, other.received.place));
      this.#gathering = false;
      this.#host.wake();
      // More of them arrive when there is credit.
      if (arrived < due) await this.#sleep(LONGEST_HEAD_START);
      if (this.#stopped) return;
      await this.#consumeNext(channel, prefetch);
      prefetching.begin(prefetch);
    };
    if (due === 0) await consumeRest();
    // The loop delivers meanwhile. A failure ends the channel.
    else consumeRest().catch(() => channel.close());
  }

  #receive(channel: GroupChannel, original: Incoming, buffer: Arrival[]): void {
    // A channel that is being closed still delivers for a moment. The broker requeues these
    // messages when the channel is closed.
    if (channel !== this.#channel) return;
    const received = readMessage(original);
    if (typeof received === 'string') {
      void this.#copies.quarantine(channel, original, 'is no message', received);
      return;
    }
    const { delayed, group, requeued, released, unconfirmed } = this.#options;
    const arrival = arrivalOf(channel, received, released);
    delayed.arrived(group, received.place.id);
    requeued.delete(received.place.id);
    if (unconfirmed.take(received)) void channel.settle(arrival, 'ack');
    else if (this.#stopped) {
      this.#requeueUnseen(arrival);
      this.#host.wake();
    } else if (this.buffered === 0 && this.#host.inFlight.canReceive && !this.#gathering) this.#deliver(arrival);
    else {
      buffer.push(arrival);
      this.#host.wake();
    }
  }

  #deliver(arrival: Arrival): void {
    const { received, tag, channel } = arrival;
    const { message, place, hasGivenId } = received;
    const other = this.#inFlight.get(place.id);
    if (other !== undefined && isDuplicate(other.received, received)) {
      void channel.settle(arrival, 'ack');
      return;
    }
    // Another program may give one id to many messages.
    const token = other === undefined ? place.id : `${place.id}/${tag}`;
    this.#inFlight.set(token, arrival);
    // A copy takes microseconds for each message, and most need none.
    const isPlain = token === message.id;
    if (this.#host.deliver(isPlain ? message : { ...message, id: hasGivenId ? message.id : token, token })) return;
    this.#inFlight.delete(token);
    this.#requeueUnseen(arrival);
  }

  /** Delivers one message in a turn: none may be requeued and redelivered in one turn. */
  #deliverNext(): void {
    const { inFlight } = this.#host;
    if (!inFlight.canReceive || this.#gathering) return;
    const arrival = this.#again.shift() ?? this.#next.shift();
    if (arrival !== undefined) this.#deliver(arrival);
    if (this.buffered > 0) this.#host.wake();
    else if (this.#prefetch?.isPaused) inFlight.quiet();
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#ignoreAbort();
    this.#prefetch?.end();
    this.#channel?.hold();
    this.#wake?.();
    this.#host.wake();
  }

  /** Requeues undelivered messages. Closes the channel once nothing is in flight. */
  async #drain(channel: GroupChannel): Promise<void> {
    // Before they are requeued: another subscription may receive them at once.
    this.#requeues.push(...this.#takeBuffered());
    for (const { received } of this.#requeues) this.#options.requeued.add(received.place.id, 0);
    // Closing the channel requeues all messages in the order of their delivery. If they need
    // another order, they are requeued one by one.
    if (this.#left && this.#copies.size === 0 && !channel.hasRequeued && isInOrder(this.#requeues))
      return channel.close();
    await channel.cancel();
    for (const arrival of this.#requeues.splice(0)) void channel.settle(arrival, 'nack');
    channel.release();
    if (!this.#left) return;
    await this.settled();
    await channel.close();
  }

  /** Requeues a message that no subscriber has seen, once no more arrive. */
  #requeueUnseen(arrival: Arrival): void {
    noteSettled(this.#options.released, arrival, REQUEUE_UNCOUNTED);
    this.#requeues.push(arrival);
  }

  /** Takes the prefetched messages. To requeue them is no further attempt. */
  #takeBuffered(disposition = REQUEUE_UNCOUNTED): Arrival[] {
    const buffered = [...this.#again.splice(0), ...this.#next.splice(0)];
    for (const arrival of buffered) noteSettled(this.#options.released, arrival, disposition);
    return buffered;
  }

  /** The channel has ended. The broker requeues the messages that are in flight on it. */
  #lost(channel: GroupChannel, cause?: unknown): void {
    if (this.#channel !== channel) return;
    if (!this.#stopped) {
      if (isConsumerTimeout(cause)) this.#logTimeout(cause);
      // The broker counts the consumers of the channel until it knows.
      this.#options.delayed.disturbed();
    }
    this.#prefetch?.end();
    this.#channel = this.#prefetch = undefined;
    this.#shortLived = performance.now() - this.#openedAt > STABLE ? 0 : this.#shortLived + 1;
    this.#gathering = false;
    this.#takeBuffered();
    this.#requeues = [];
    const lost = [...this.#inFlight.keys()];
    this.#inFlight.clear();
    for (const token of lost) this.#host.inFlight.recall(token);
    if (this.#left) this.#end();
    else this.#host.restart();
  }

  /** Logs why the broker cancelled a consumer. Closes the channel, which requeues its messages. */
  async #closeCancelled(channel: GroupChannel, error: unknown, queue: string | undefined): Promise<void> {
    const { queueName, group, log, existence } = this.#options;
    const which = `group ${JSON.stringify(group)} of queue ${JSON.stringify(queueName)}`;
    if (await isTimeoutCancellation(error, queue, channel)) this.#logTimeout(error);
    else
      log.warn(
        `RabbitMQ has cancelled the consumer of ${which}, for instance because its queue was deleted${existence.creates ? ': it is declared again' : ''}`,
        error,
      );
    await channel.close();
  }

  #logTimeout(error: unknown): void {
    this.#options.log.error(consumerTimedOut(this.#options.queueName, this.#intake.credit.limit), { error });
  }

  /** Resolves when it is woken, or after this many milliseconds. */
  async #sleep(milliseconds: number): Promise<void> {
    if (this.#stopped) return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await within(milliseconds, woken);
    this.#wake = undefined;
  }
}

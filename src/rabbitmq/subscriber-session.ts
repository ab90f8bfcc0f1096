import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { type Disposition, FINISH, REQUEUE_UNCOUNTED } from '../core/base-delivery.js';
import { within } from '../core/deadline.js';
import type { DriverDelivery } from '../core/delivery.js';
import type { GroupHost, GroupSession } from '../core/group-loop.js';
import { COUNTED, NOT_COUNTED } from '../internal/answers.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { onAbort } from '../internal/on-abort.js';
import { type Arrival, arrivalOf, isInOrder, isSame, type MessageArrival, noteSettled } from './arrival.js';
import { closeCancelled } from './cancelled.js';
import type { Incoming } from './client.js';
import { GroupChannel } from './group-channel.js';
import type { RabbitLink } from './link.js';
import { comparePlaces, copyOf, readMessage } from './message.js';
import type { GroupNames } from './names.js';
import { Prefetch } from './prefetch.js';
import { quarantine } from './quarantine.js';
import { consumerTimedOut, isConsumerTimeout } from './rabbitmq-errors.js';
import type { SessionOptions } from './session-options.js';

type Channel = GroupChannel<Arrival>;

/** How long a new channel waits for delayed nacks that are due before it consumes anything else, in milliseconds. */
const LONGEST_HEAD_START = 1000;

/** A channel that ends within so many milliseconds after it was opened makes the next one wait. */
const STABLE = 5000;

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/**
 * The channel of one subscriber, and another one whenever it ends. The broker pushes messages, and
 * settlements are sent on the channel of their delivery.
 */
export class SubscriberSession implements GroupSession<RabbitLink> {
  /** Resolves when the subscriber has left and the broker knows its settlements, or cannot be told. */
  readonly ended: Promise<void>;
  #end!: () => void;
  readonly #host: GroupHost;
  readonly #options: SessionOptions;
  readonly #names: GroupNames;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #intake: CreditIntake;
  readonly #ignoreAbort: () => void;
  #channel: Channel | undefined;
  /** Of the channel. */
  #prefetch: Prefetch | undefined;
  /** Channels in a row that ended soon, and when the last one was opened. */
  #shortLived = 0;
  #openedAt = Number.NEGATIVE_INFINITY;
  /** The messages in flight, by token. */
  readonly #inFlight = new Map<string, MessageArrival>();
  /** Prefetched messages without credit: of the queue `again`, which come first, and of the group's. */
  readonly #again: MessageArrival[] = [];
  readonly #next: MessageArrival[] = [];
  /** Messages that are requeued once no more arrive. */
  #returning: MessageArrival[] = [];
  /** The copies of delayed or quarantined messages that the broker has not confirmed. */
  readonly #copies = new Set<Promise<unknown>>();
  /** The delayed nacks that were due at the start arrive, and are delivered when all have. */
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
    this.#subscriber = subscriber;
    this.#intake = intake;
    this.#ignoreAbort = onAbort(intake.signal, () => this.#stop());
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
  }

  /** How many messages are in flight here, or not returned yet. */
  get held(): number {
    return this.#host.inFlight.size + this.#returning.length + this.#copies.size;
  }

  /** How many prefetched messages wait for credit. */
  get buffered(): number {
    return this.#again.length + this.#next.length;
  }

  /** The unique ids of all messages that are here. */
  get ids(): string[] {
    return [...this.#inFlight.values(), ...this.#again, ...this.#next, ...this.#returning].map(({ place }) => place.id);
  }

  get hasWork(): boolean {
    if (this.#channel === undefined) return !this.#stopped;
    return this.#stopped || this.buffered > 0 || this.#prefetch?.mayChange === true;
  }

  /** Opens a channel and consumes over it. */
  async begin(link: RabbitLink): Promise<void> {
    const { topology, group, done, delayed } = this.#options;
    if (this.#channel !== undefined) return;
    if (this.#shortLived > 1) await this.#sleep(backoff(undefined, this.#shortLived - 1));
    if (this.#stopped) return;
    await topology.open(link, group);
    if (this.#stopped) return;
    const channel: Channel = await GroupChannel.open<Arrival>(link, {
      onCancelled: (error, queue) => {
        if (this.#channel !== channel) return;
        topology.forget(link, group);
        this.#lost(channel);
        void closeCancelled(channel, { error, queue, prefetch: this.#intake.credit.limit }, this.#options);
      },
      onUnconfirmed: ({ received }) => received && done.add(received),
    });
    this.#channel = channel;
    this.#openedAt = performance.now();
    void channel.closed.then(delayed.subscribed(group, () => channel.countConsumers(this.#names.queue)));
    void channel.closed.then((cause) => this.#lost(channel, cause));
    this.#prefetch = new Prefetch({
      credit: this.#intake.credit,
      isFull: () => channel.isFull,
      pause: () => channel.pause(),
      consume: (prefetch) => this.#consume(channel, prefetch),
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
    const { released, returning } = this.#options;
    noteSettled(released, arrival, disposition);
    const isRequeued = action === 'requeue';
    if (isRequeued && this.#subscriber.closed) {
      this.#returning.push(arrival);
      return COUNTED;
    }
    const { channel, received, place } = arrival;
    if (reason !== undefined) return this.#copying(this.#quarantine(channel, received.original, 'is given up', reason));
    if (delay > 0) return this.#redeliver(arrival, delay);
    if (!isRequeued) return channel.settle(arrival, 'ack');
    returning.add(place.id, 0);
    return channel.settle(arrival, isCounted ? 'reject' : 'nack');
  }

  /** The settlements of a channel end with it. */
  giveUp(): void {}

  async settled(): Promise<void> {
    await Promise.all(this.#copies);
    await this.#channel?.settled();
  }

  /** Resolves when the broker has everything that was settled before, or returned because the subscriber has left. */
  async returned(): Promise<void> {
    await (this.#left ? this.ended : this.settled());
  }

  /** Resolves when everything that the broker had delivered has arrived. */
  async arrived(): Promise<void> {
    // Over a channel that has ended, nothing arrives.
    await this.#channel?.barrier().catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Removes the messages that wait here for credit. Resolves to how many. */
  async purge(): Promise<number> {
    const waiting = [...this.#again.splice(0), ...this.#next.splice(0)];
    for (const arrival of waiting) noteSettled(this.#options.released, arrival, FINISH);
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

  async #consume(channel: Channel, prefetch: number): Promise<void> {
    await channel.consume(this.#names.again, prefetch, (message) => this.#receive(channel, message, this.#again));
    await channel.consume(this.#names.queue, prefetch, (message) => this.#receive(channel, message, this.#next));
  }

  /** Consumes the delayed nacks first: they are before the other messages. */
  async #start(channel: Channel, prefetching: Prefetch): Promise<void> {
    const { again } = this.#names;
    const prefetch = prefetching.wanted;
    if (prefetch === 0) return prefetching.begin(0);
    const due = await channel.count(again);
    if (this.#stopped) return;
    const first = Math.min(due, prefetch);
    let arrived = 0;
    this.#gathering = due > 0;
    await channel.consume(again, prefetch, (message) => {
      this.#receive(channel, message, this.#again);
      if (++arrived === first || arrived >= due) this.#wake?.();
    });
    const consumeRest = async () => {
      if (arrived < first) await this.#sleep(LONGEST_HEAD_START);
      // They became due in an order of their own.
      this.#again.sort((one, other) => comparePlaces(one.place, other.place));
      this.#gathering = false;
      this.#host.wake();
      // More of them arrive when there is credit.
      if (arrived < due) await this.#sleep(LONGEST_HEAD_START);
      if (this.#stopped) return;
      await channel.consume(this.#names.queue, prefetch, (message) => this.#receive(channel, message, this.#next));
      prefetching.begin(prefetch);
    };
    if (due === 0) await consumeRest();
    // The loop delivers meanwhile. A failure ends the channel.
    else consumeRest().catch(() => channel.close());
  }

  #receive(channel: Channel, original: Incoming, buffer: MessageArrival[]): void {
    // A channel that is being closed still delivers for a moment. It requeues these messages when
    // it is closed.
    if (channel !== this.#channel) return;
    const received = readMessage(original);
    if (typeof received === 'string') {
      void this.#quarantine(channel, original, 'is no message', received);
      return;
    }
    const { delayed, group, returning, released, done } = this.#options;
    const arrival = arrivalOf(channel, received, released);
    delayed.arrived(group, arrival.place.id);
    returning.delete(arrival.place.id);
    if (done.take(received)) void channel.settle(arrival, 'ack');
    else if (this.#stopped) {
      noteSettled(released, arrival, REQUEUE_UNCOUNTED);
      this.#returning.push(arrival);
      this.#host.wake();
    } else if (this.buffered === 0 && this.#host.inFlight.canReceive && !this.#gathering) this.#deliver(arrival);
    else {
      buffer.push(arrival);
      this.#host.wake();
    }
  }

  #deliver(arrival: MessageArrival): void {
    const { received, place, tag, channel } = arrival;
    const twin = this.#inFlight.get(place.id);
    if (twin !== undefined && isSame(twin.received, received)) {
      void channel.settle(arrival, 'ack');
      return;
    }
    // Another program may give one id to many messages.
    const token = twin === undefined ? place.id : `${place.id}/${tag}`;
    this.#inFlight.set(token, arrival);
    const { message, hasGivenId } = received;
    // A copy takes microseconds for each message, and most need none.
    const isPlain = token === message.id;
    if (this.#host.deliver(isPlain ? message : { ...message, id: hasGivenId ? message.id : token, token })) return;
    this.#inFlight.delete(token);
    noteSettled(this.#options.released, arrival, REQUEUE_UNCOUNTED);
    this.#returning.push(arrival);
  }

  /**
   * Delivers one message in a turn: a message that its subscriber requeues must not be delivered
   * again in the same turn.
   */
  #deliverNext(): void {
    const { inFlight } = this.#host;
    if (!inFlight.canReceive || this.#gathering) return;
    const arrival = this.#again.shift() ?? this.#next.shift();
    if (arrival !== undefined) this.#deliver(arrival);
    if (this.buffered > 0) this.#host.wake();
    else if (this.#prefetch?.isPaused) inFlight.quiet();
  }

  /** Sends a copy that comes back after the delay, then acknowledges the message. */
  #redeliver(arrival: MessageArrival, delay: number): Promise<boolean> {
    const { publisher, group, queueName, log } = this.#options;
    const { id, key } = arrival.received.message;
    const copied = publisher.redeliver(group, copyOf(arrival.received), delay).then(
      () => arrival.channel.settle(arrival, 'ack'),
      (error: unknown) => {
        const which = `Message ${JSON.stringify(id)} of queue ${JSON.stringify(queueName)}`;
        log.warn(`${which} was requeued without its delay`, error, { key, id });
        return arrival.channel.settle(arrival, 'reject');
      },
    );
    return this.#copying(copied);
  }

  #quarantine(channel: Channel, original: Incoming, what: string, reason: string): Promise<boolean> {
    return quarantine(channel, original, what, reason, { host: this.#host, options: this.#options });
  }

  /** Counts the original as held until its copy is confirmed. */
  #copying(copied: Promise<boolean>): Promise<boolean> {
    this.#copies.add(copied);
    return copied.finally(() => this.#copies.delete(copied));
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

  /** Requeues the messages that were not delivered. Closes the channel once nothing is in flight. */
  async #drain(channel: Channel): Promise<void> {
    // Before they are requeued: another subscription may receive them at once.
    this.#returning.push(...this.#takeBuffered());
    for (const { place } of this.#returning) this.#options.returning.add(place.id, 0);
    // To close the channel requeues all messages in the order of their delivery. In another order,
    // they are requeued one by one.
    if (this.#left && this.#copies.size === 0 && !channel.hasRequeued && isInOrder(this.#returning)) {
      channel.release();
      await channel.close();
      return;
    }
    await channel.cancel();
    for (const arrival of this.#returning.splice(0)) void channel.settle(arrival, 'nack');
    channel.release();
    if (!this.#left) return;
    await this.settled();
    await channel.close();
  }

  /** Takes the prefetched messages. To deliver them again is no further attempt. */
  #takeBuffered(): MessageArrival[] {
    const buffered = [...this.#again.splice(0), ...this.#next.splice(0)];
    for (const arrival of buffered) noteSettled(this.#options.released, arrival, REQUEUE_UNCOUNTED);
    return buffered;
  }

  /** The channel has ended, and the broker requeues what it delivered on it. */
  #lost(channel: Channel, cause?: unknown): void {
    if (this.#channel !== channel) return;
    const { log, queueName, delayed } = this.#options;
    if (!this.#stopped) {
      if (isConsumerTimeout(cause)) log.error(consumerTimedOut(queueName, this.#intake.credit.limit), { error: cause });
      // Until the broker knows, it counts a consumer more than there are here.
      delayed.disturbed();
    }
    this.#prefetch?.end();
    this.#channel = this.#prefetch = undefined;
    this.#shortLived = performance.now() - this.#openedAt > STABLE ? 0 : this.#shortLived + 1;
    this.#gathering = false;
    this.#takeBuffered();
    this.#returning = [];
    const lost = [...this.#inFlight.keys()];
    this.#inFlight.clear();
    for (const token of lost) this.#host.inFlight.recall(token);
    if (this.#left) this.#end();
    else this.#host.restart();
  }

  /** Sleeps until it is woken, or that many milliseconds have passed. */
  async #sleep(milliseconds: number): Promise<void> {
    if (this.#stopped) return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    await within(milliseconds, woken);
    this.#wake = undefined;
  }
}

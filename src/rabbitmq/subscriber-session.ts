import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { Credit } from '../bridge/credit.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import { within } from '../core/deadline.js';
import type { DriverDelivery, Settled } from '../core/delivery.js';
import { InFlight } from '../core/in-flight.js';
import { COUNTED, NOT_COUNTED } from '../internal/answers.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { type Arrival, arrivalOf, isInOrder, isSame, type MessageArrival, noteSettled } from './arrival.js';
import { moveAside } from './aside.js';
import { closeCancelled } from './cancelled.js';
import type { Incoming } from './client.js';
import { LONGEST_DELAY } from './delays.js';
import { GroupChannel } from './group-channel.js';
import type { RabbitLink } from './link.js';
import { comparePlaces, copyOf, readMessage } from './message.js';
import type { GroupNames } from './names.js';
import { Prefetch } from './prefetch.js';
import { consumerTimedOut, isConsumerTimeout } from './rabbitmq-errors.js';
import type { SubscriptionOptions } from './subscription-options.js';

type Channel = GroupChannel<Arrival>;

/** How long a start waits for what was nacked with a delay and has fallen due, in milliseconds, before it takes anything else. */
const LONGEST_HEAD_START = 1000;

/** A channel that has lasted for as long, in milliseconds, was none that fails at once. */
const STABLE = 5000;

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/** One subscriber to a group: it has a channel of its own, and another one whenever that is lost. */
export class Subscription {
  /** Resolves when it is over: the stream has ended, and the broker knows what became of its messages, or cannot be told. */
  readonly ended: Promise<void>;
  #end!: () => void;
  readonly #options: SubscriptionOptions;
  readonly #names: GroupNames;
  readonly #inFlight: InFlight;
  readonly #subscriber: Subscriber<Delivery>;
  readonly #credit: Credit;
  #channel: Channel | undefined;
  /** Of the channel. */
  #prefetch: Prefetch | undefined;
  /** The messages in flight, by token. */
  readonly #out = new Map<string, MessageArrival>();
  /** What has come for which there is no room: of the queue `again`, which come first, and of the group's. */
  readonly #again: MessageArrival[] = [];
  readonly #next: MessageArrival[] = [];
  /** What goes back when nothing more comes. */
  #back: MessageArrival[] = [];
  /** Messages whose copies are on their way: nacked with a delay, or to quarantine. */
  readonly #copies = new Set<Promise<unknown>>();
  #poked: NodeJS.Immediate | undefined;
  /** What waits from before comes, and is handed out when all of it is here. */
  #gathering = false;
  /** It takes nothing more: aborted then. */
  readonly #stopping = new AbortController();
  /** Its subscriber is gone. */
  #left = false;
  #winding = false;
  #wake: (() => void) | undefined;

  constructor(options: SubscriptionOptions, subscriber: Subscriber<Delivery>, intake: CreditIntake) {
    this.#options = options;
    this.#names = options.names.group(options.group);
    this.#subscriber = subscriber;
    this.#credit = intake.credit;
    this.ended = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.#inFlight = new InFlight({
      queueName: options.queueName,
      logger: options.logger,
      longestDelay: LONGEST_DELAY,
      onChange: () => this.#changed(),
      onFull: () => this.#stop(),
      settle: (delivery, how, delay, reason) => this.#settle(delivery, how, delay, reason),
    });
    this.#inFlight.connect(subscriber, intake);
    void this.#run();
  }

  get #stopped(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** How many messages of the group are out here: with the subscriber, or on their way back. */
  get held(): number {
    return this.#inFlight.size + this.#back.length + this.#copies.size;
  }

  /** How many have come and wait for room. */
  get buffered(): number {
    return this.#again.length + this.#next.length;
  }

  /** The ids of all that are here. */
  get ids(): string[] {
    return [...this.#out.values(), ...this.#again, ...this.#next, ...this.#back].map(({ place }) => place.id);
  }

  /** Resolves when the broker knows of everything that was settled before. */
  async settled(): Promise<void> {
    await Promise.all(this.#copies);
    await this.#channel?.settled();
  }

  /** Resolves when what the broker had delivered is here. */
  async arrived(): Promise<void> {
    // Over a channel that has ended, nothing more arrives.
    await this.#channel?.barrier().catch(() => {});
    await new Promise((resolve) => setImmediate(resolve));
  }

  /** Resolves when the broker has everything that was settled before, or returned because the subscriber has left. */
  async returned(): Promise<void> {
    await (this.#left ? this.ended : this.settled());
  }

  /** Removes the messages that wait here for credit. Resolves to how many. */
  async purge(): Promise<number> {
    const waiting = [...this.#again.splice(0), ...this.#next.splice(0)];
    for (const arrival of waiting) noteSettled(this.#options.released, arrival, 'acked');
    const counted = await Promise.all(waiting.map((arrival) => arrival.channel.settle(arrival, 'ack')));
    return counted.filter(Boolean).length;
  }

  /** Ends the stream. */
  close(): void {
    this.#inFlight.end();
  }

  /** Lets go of everything without a word to the broker. */
  abandon(): void {
    this.#stop();
    clearImmediate(this.#poked);
    this.#channel?.abandon();
    this.#end();
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#stopped) {
      const since = performance.now();
      try {
        const cause = await this.#options.consuming.serve(this.#stopping.signal, (link) => this.#serve(link));
        if (!this.#stopped && isConsumerTimeout(cause))
          this.#options.log.error(consumerTimedOut(this.#options.queueName, this.#credit.limit), { error: cause });
      } catch (error) {
        if (this.#stopped) break;
        const kind = this.#options.failures.classify(error);
        if (kind === 'fatal') this.#fail(error);
        else if (kind === 'refused' && failures > 0) this.#options.log.refused(this, error);
      }
      failures = performance.now() - since > STABLE ? 0 : failures + 1;
      if (failures > 1) await this.#pause(backoff(undefined, failures - 1));
    }
    // What is out may still be settled.
    await this.#channel?.closed;
    if (this.#left) this.#end();
  }

  /** Consumes over one channel. Resolves with the cause when it has ended. */
  async #serve(link: RabbitLink): Promise<unknown> {
    const { topology, group, done, delayed, log } = this.#options;
    if (this.#stopped) return undefined;
    await topology.open(link, group);
    if (this.#stopped) return undefined;
    const channel: Channel = await GroupChannel.open<Arrival>(link, {
      onCancelled: (error, queue) => {
        if (this.#channel !== channel) return;
        topology.forget(link, group);
        this.#lost(channel);
        void closeCancelled(channel, { error, queue, prefetch: this.#credit.limit }, this.#options);
      },
      onUnanswered: ({ received }) => received && done.add(received),
    });
    this.#channel = channel;
    void channel.closed.then(delayed.subscribed(group, () => channel.countConsumers(this.#names.queue)));
    this.#prefetch = new Prefetch({
      credit: this.#credit,
      isFull: () => channel.isFull,
      pause: () => channel.pause(),
      consume: (prefetch) => this.#consume(channel, prefetch),
      onChange: () => this.#poke(),
    });
    this.#poke();
    try {
      await this.#begin(channel, this.#prefetch);
      log.served(this);
    } catch (error) {
      topology.forget(link, group);
      await channel.close();
      throw error;
    } finally {
      void channel.closed.then(() => this.#lost(channel));
    }
    return channel.closed;
  }

  async #consume(channel: Channel, prefetch: number): Promise<void> {
    await channel.consume(this.#names.again, prefetch, (message) => this.#deliver(channel, message, this.#again));
    await channel.consume(this.#names.queue, prefetch, (message) => this.#deliver(channel, message, this.#next));
  }

  async #begin(channel: Channel, prefetching: Prefetch): Promise<void> {
    const { queue, again } = this.#names;
    const prefetch = prefetching.wanted;
    if (prefetch === 0) return prefetching.begin(0);
    const due = await channel.count(again);
    if (this.#stopped) return;
    const first = Math.min(due, prefetch);
    let [came, enough] = [0, () => {}];
    this.#gathering = due > 0;
    await channel.consume(again, prefetch, (message) => {
      this.#deliver(channel, message, this.#again);
      if (++came === first || came >= due) enough();
    });
    if (came < first) await this.#pause(LONGEST_HEAD_START, (wake) => (enough = wake));
    // They fell due in an order of their own, and go to their places.
    this.#again.sort((one, other) => comparePlaces(one.place, other.place));
    this.#gathering = false;
    this.#poke();
    // More of them come when there is room.
    if (came < due) await this.#pause(LONGEST_HEAD_START, (wake) => (enough = wake));
    if (this.#stopped) return;
    await channel.consume(queue, prefetch, (message) => this.#deliver(channel, message, this.#next));
    prefetching.begin(prefetch);
  }

  #deliver(channel: Channel, original: Incoming, line: MessageArrival[]): void {
    // One that is being closed delivers for a moment more: that goes back with the rest.
    if (channel !== this.#channel) return;
    const received = readMessage(original);
    if (typeof received === 'string') {
      void moveAside(channel, original, 'is none of its own', received, this.#options);
      return;
    }
    const arrival = arrivalOf(channel, received, this.#options.released);
    const { delayed, group, returning } = this.#options;
    delayed.arrived(group, arrival.place.id);
    returning.delete(arrival.place.id);
    if (this.#options.done.take(received)) void channel.settle(arrival, 'ack');
    else if (this.#stopped) {
      noteSettled(this.#options.released, arrival, 'released');
      this.#back.push(arrival);
      this.#poke();
    } else if (this.buffered === 0 && this.#inFlight.canReceive && !this.#gathering) this.#lend(arrival);
    else {
      line.push(arrival);
      this.#poke();
    }
  }

  #lend(arrival: MessageArrival): void {
    const { received, place, tag } = arrival;
    const twin = this.#out.get(place.id);
    if (twin !== undefined && isSame(twin.received, received)) {
      void arrival.channel.settle(arrival, 'ack');
      return;
    }
    // Another program may give one id to many messages.
    const token = twin === undefined ? place.id : `${place.id}/${tag}`;
    this.#out.set(token, arrival);
    const { message, hasGivenId } = received;
    this.#inFlight.deliver({ ...message, id: hasGivenId ? message.id : token, token });
  }

  #settle({ token }: DriverDelivery, how: Settled, delay: number, reason: string | undefined): Promise<boolean> {
    const arrival = this.#out.get(token);
    if (arrival === undefined) return NOT_COUNTED;
    this.#out.delete(token);
    noteSettled(this.#options.released, arrival, how, delay);
    const goesBack = how === 'retried' || how === 'released';
    if (goesBack && this.#subscriber.closed) {
      this.#back.push(arrival);
      return COUNTED;
    }
    if (reason !== undefined)
      return this.#copying(moveAside(arrival.channel, arrival.received.original, 'is given up', reason, this.#options));
    if (delay > 0) return this.#sendAgain(arrival, delay);
    if (!goesBack) return arrival.channel.settle(arrival, 'ack');
    this.#options.returning.add(arrival.place.id, 0);
    return arrival.channel.settle(arrival, how === 'retried' ? 'failed' : 'back');
  }

  /** A copy takes the way of the delay; when that is safe, the original is done with. */
  #sendAgain(arrival: MessageArrival, delay: number): Promise<boolean> {
    const { publisher, group, queueName, log } = this.#options;
    const { id, key } = arrival.received.message;
    const copied = publisher.sendAgain(group, copyOf(arrival.received), delay).then(
      () => arrival.channel.settle(arrival, 'ack'),
      (error: unknown) => {
        log.warn(
          `Message ${JSON.stringify(id)} of queue ${JSON.stringify(queueName)} was requeued without its delay`,
          error,
          { key, id },
        );
        return arrival.channel.settle(arrival, 'failed');
      },
    );
    return this.#copying(copied);
  }

  /** Counts the original as held until its copy is safe. */
  #copying(copied: Promise<boolean>): Promise<boolean> {
    this.#copies.add(copied);
    return copied.finally(() => this.#copies.delete(copied));
  }

  #changed(): void {
    if (!this.#inFlight.hasMembers) {
      this.#stop();
      this.#left = true;
      if (this.#channel === undefined) this.#end();
    }
    this.#poke();
  }

  #stop(): void {
    if (this.#stopped) return;
    this.#stopping.abort();
    this.#prefetch?.end();
    this.#channel?.hold();
    this.#wake?.();
    this.#poke();
  }

  /** Looks in a later turn what is to be done. */
  #poke(): void {
    this.#poked ??= setImmediate(() => {
      this.#poked = undefined;
      const channel = this.#channel;
      if (channel === undefined) return;
      if (this.#stopped) void this.#wind(channel);
      else {
        this.#prefetch?.follow();
        this.#handOut();
      }
    });
  }

  /** One message in a turn: what a subscriber gives back is not to come again in the same one. */
  #handOut(): void {
    if (!this.#inFlight.canReceive || this.#gathering) return;
    const arrival = this.#again.shift() ?? this.#next.shift();
    if (arrival !== undefined) this.#lend(arrival);
    if (this.buffered > 0) this.#poke();
    else if (this.#prefetch?.isPaused) this.#inFlight.quiet();
  }

  /** The intake is over: what nobody has goes back, and when nobody has anything any more, the channel is closed. */
  async #wind(channel: Channel): Promise<void> {
    if (this.#winding) return;
    this.#winding = true;
    // Before it goes back: it may come again to another subscription at once.
    this.#back.push(...this.#takeBuffered());
    for (const { place } of this.#back) this.#options.returning.add(place.id, 0);
    // Closing gives all back, in the order of their delivery. Where that is another than the one of their places, they go back one by one.
    if (this.#left && this.#copies.size === 0 && !channel.gaveBack && isInOrder(this.#back)) {
      channel.release();
      await channel.close();
    } else {
      await channel.cancel();
      for (const arrival of this.#back.splice(0)) void channel.settle(arrival, 'back');
      channel.release();
      if (this.#left) {
        await this.settled();
        await channel.close();
      }
    }
    this.#winding = false;
    if (channel === this.#channel && (this.#left || this.#back.length > 0)) this.#poke();
  }

  /** What nobody has seen, taken out: to come again is no attempt more. */
  #takeBuffered(): MessageArrival[] {
    const buffered = [...this.#again.splice(0), ...this.#next.splice(0)];
    for (const arrival of buffered) noteSettled(this.#options.released, arrival, 'released');
    return buffered;
  }

  /** The channel has ended, and with it what was delivered on it. */
  #lost(channel: Channel): void {
    if (this.#channel !== channel) return;
    // Until the broker knows, it counts a consumer more than are here.
    if (!this.#stopped) this.#options.delayed.troubled();
    this.#prefetch?.end();
    this.#channel = this.#prefetch = undefined;
    this.#gathering = false;
    this.#takeBuffered();
    this.#back = [];
    const lost = [...this.#out.keys()];
    this.#out.clear();
    for (const token of lost) this.#inFlight.recall(token);
    if (this.#left) this.#end();
  }

  /** No second attempt mends it: the stream ends with the error. */
  #fail(error: unknown): void {
    const explained = this.#options.failures.explained(error);
    this.#options.log.fatal(explained);
    this.#inFlight.end({ error: explained });
  }

  /** Waits, but no longer than until it is woken. */
  async #pause(milliseconds: number, onWake: (wake: () => void) => void = () => {}): Promise<void> {
    if (this.#stopped) return;
    const woken = new Promise<void>((resolve) => {
      this.#wake = resolve;
      onWake(resolve);
    });
    await within(milliseconds, woken);
    this.#wake = undefined;
  }
}

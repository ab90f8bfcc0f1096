import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { Intake } from '../bridge/delivery-stream.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { LinkedList } from '../internal/linked-list.js';
import type { Logger } from '../internal/logger.js';
import type { Connection } from './connection.js';
import type { LentDelivery, Settled } from './delivery.js';
import { DeliverySubscription, type Desk } from './delivery-subscription.js';
import { type Answer, type Asker, type Entry, exchange, type Request } from './exchange.js';
import { type Outlook, outlookOf } from './failures.js';
import type { Heard, Listener } from './listener.js';
import { type Message, readMessage } from './message.js';
import { soonestDeath } from './neighbours.js';
import { Settlements } from './settlements.js';

export interface GroupConsumerOptions extends Asker {
  readonly queueName: string;
  readonly connection: Connection;
  readonly listener: Listener;
  /** Sees to it that the group exists. */
  readonly open: () => Promise<void>;
  /** An error in the terms of the library. */
  readonly explain: (error: unknown) => Error;
  readonly logger: Logger;
}

/** How many messages and settlements go in one exchange at most: Lua unpacks no more than some thousands. */
const MOST = 1000;

/** The longest wait for a message, in milliseconds: with the question after it, an idle consumer sends one command in six seconds. */
const LONGEST_WAIT = 12_000;

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/**
 * All subscriptions of this process to one group, as one consumer of Redis.
 *
 * It speaks with the group in exchanges, one at a time: each brings what was settled since the last one, and takes what there is room for. When there is
 * less than there is room for, it waits for more on the listener's connection, and goes on with exchanges when it has heard something.
 */
export class GroupConsumer implements Desk {
  readonly #options: GroupConsumerOptions;
  readonly #line = new LinkedList<DeliverySubscription>();
  readonly #members = new Set<DeliverySubscription>();
  /** What is out, by id. */
  readonly #held = new Map<string, { readonly delivery: LentDelivery; readonly holder: DeliverySubscription }>();
  readonly #settlements = new Settlements();
  #heard: string[] = [];
  #scheduled: NodeJS.Immediate | undefined;
  #exchanging = false;
  #listening = false;
  /** Something was sent that may have brought messages, and its answer was lost. */
  #astray = false;
  /** How many messages it asks for at most. */
  #most = MOST;
  /** Its group has to be made anew, of the queue or of its bell. */
  #missingGroup = false;
  /** When it answered last, nothing waited to be delivered again, and nothing will fall due. */
  #quiet = false;
  /** The group has answered before. */
  #established = false;
  /** It knows of something that falls due, and others may count on it. */
  #watching = false;
  /** Exchanges and waits that failed since the last that did not. */
  #failures = 0;
  #tendedAt = Number.NEGATIVE_INFINITY;
  /** Runs while something is out: the lease has to be kept. */
  #leaseTimer: NodeJS.Timeout | undefined;
  #leaseDue = false;
  #pause: NodeJS.Timeout | undefined;
  #closing = false;
  #onClosed: (() => void) | undefined;

  constructor(options: GroupConsumerOptions) {
    this.#options = options;
  }

  get queueName(): string {
    return this.#options.queueName;
  }

  get logger(): Logger {
    return this.#options.logger;
  }

  /** Delivers to a subscriber until it leaves, the signal aborts or the queue is closed. */
  connect(subscriber: Subscriber<Delivery>, intake: Intake): void {
    const subscription = new DeliverySubscription(this, subscriber, intake);
    this.#members.add(subscription);
    subscription.start();
  }

  lineUp(subscription: DeliverySubscription): void {
    if (subscription.list === undefined) this.#line.append(subscription);
    this.#poke();
  }

  stepBack(subscription: DeliverySubscription): void {
    this.#line.remove(subscription);
    if (this.#listening && this.#line.first === undefined) void this.#options.listener.cancel();
  }

  dismiss(subscription: DeliverySubscription): void {
    this.#members.delete(subscription);
    this.#poke();
  }

  async settle(delivery: LentDelivery, how: Settled, delay: number): Promise<boolean> {
    const { id, attempt } = delivery;
    if (this.#held.get(id)?.delivery === delivery) this.#held.delete(id);
    const goesBack = how === 'retried' || how === 'released';
    const counts = this.#settlements.add(
      id,
      goesBack ? { kind: 'back', deliveries: how === 'released' ? attempt - 1 : attempt, delay } : { kind: 'ack' },
    );
    this.#poke();
    if (await counts) return true;
    delivery.recall();
    this.logger.warn(
      `Delivery ${id} ("${delivery.key}") from queue "${this.queueName}" could not be ${how}: its lease has ended, or the queue was closed or emptied`,
    );
    return false;
  }

  /** Resolves when everything settled before is settled in Redis too. */
  settled(): Promise<void> {
    return this.#settlements.answeredNow();
  }

  /** Ends the streams, gives back what is out and says goodbye. Resolves when Redis knows, or cannot be told. */
  async close(): Promise<void> {
    this.#closing = true;
    for (const member of this.#members) member.end();
    this.#members.clear();
    clearTimeout(this.#pause);
    this.#pause = undefined;
    if (this.#options.connection.isReady) {
      const closed = new Promise<void>((resolve) => {
        this.#onClosed = resolve;
      });
      if (this.#listening) void this.#options.listener.cancel();
      this.#poke();
      await closed;
    }
    this.abandon();
  }

  /** Lets go of everything without a word to Redis. */
  abandon(): void {
    this.#onClosed?.();
    this.#onClosed = undefined;
    this.#closing = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#pause);
    clearTimeout(this.#leaseTimer);
    this.#options.listener.close();
    this.#settlements.giveUp(({ resolve }) => resolve(false));
  }

  #credit(): number {
    let credit = 0;
    for (let subscription = this.#line.first; subscription !== undefined; subscription = subscription.after as DeliverySubscription | undefined) {
      credit += subscription.credit;
    }
    return credit;
  }

  /** Looks, at the end of this turn, whether there is something to say: all settlements of a turn travel together. */
  #poke(): void {
    if (this.#scheduled !== undefined || this.#exchanging || this.#pause !== undefined) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      if (this.#hasToSay()) void this.#exchange();
    });
  }

  #hasToSay(): boolean {
    if (this.#settlements.size > 0 || this.#heard.length > 0 || this.#leaseDue) return true;
    // While it waits on the other connection, it has nothing to ask for.
    if (this.#listening) return false;
    return this.#line.first !== undefined || this.#watching || this.#astray || this.#onClosed !== undefined;
  }

  async #exchange(): Promise<void> {
    const { connection, open } = this.#options;
    this.#exchanging = true;
    let want = 0;
    try {
      await connection.ready();
      if (this.#missingGroup) await open();
      this.#missingGroup = false;
      want = this.#listening ? 0 : Math.min(this.#most, this.#credit());
      const request = this.#request(want);
      const answer = await exchange(connection, this.#options, request);
      if (answer === undefined) {
        this.#settlements.putBack({ again: false });
        this.#astray ||= want > 0;
        await open();
      } else {
        this.#take(answer, request);
      }
      this.#failures = 0;
      this.#exchanging = false;
      this.#poke();
    } catch (error) {
      const outlook = outlookOf(error);
      this.#settlements.putBack({ again: outlook === 'lost' });
      this.#astray ||= want > 0;
      // It may have been too much for the link: less at a time gets through.
      if (outlook === 'lost' && want > 0) this.#most = Math.ceil(want / 2);
      this.#exchanging = false;
      this.#failed(error, outlook);
    }
  }

  #request(want: number): Request {
    const now = performance.now();
    const settlements = this.#settlements.take(MOST);
    const leave = this.#onClosed !== undefined && !this.#listening && this.#settlements.size === 0;
    const tend = !leave && now - this.#tendedAt >= this.#options.lease / 3;
    if (tend) this.#tendedAt = now;
    return {
      want,
      settlements,
      heard: this.#heard.slice(),
      unwatched: this.#watching && !this.#listening,
      tend,
      // Not while a wait on the other connection may bring what nobody here knows yet.
      known: this.#astray && !this.#listening ? [...this.#held.keys(), ...this.#settlements.ids] : undefined,
      plain: this.#quiet && want > 0 && !this.#astray && this.#heard.length === 0 && settlements.every(({ verdict }) => verdict.kind === 'ack'),
      established: this.#established,
      leave,
    };
  }

  #take({ counted, messages, wait, deleted }: Answer, { want, heard, unwatched, known, leave }: Request): void {
    this.#heard.splice(0, heard.length);
    this.#leaseDue = false;
    this.#established = true;
    this.#quiet = wait === undefined;
    if (known !== undefined) this.#astray = false;
    if (unwatched) this.#watching = false;
    if (messages.length > 0) this.#most = Math.min(MOST, this.#most * 2);
    this.#settlements.answered(counted);
    for (const id of deleted) {
      this.logger.error(`Message ${id} of queue "${this.queueName}" is lost: somebody else deleted it from the stream before it was settled`);
    }
    for (const entry of messages) this.#deliver(entry);
    this.#keepLease();
    if (leave) this.#onClosed?.();
    else if (messages.length < want && !this.#closing) {
      // The group counts on it, also if nobody waits here any more.
      this.#watching = wait !== undefined;
      if (this.#line.first !== undefined) void this.#listen(wait);
    }
  }

  async #listen(wait: number | undefined): Promise<void> {
    this.#listening = true;
    try {
      const { messages, rings } = await this.#wait(wait ?? Number.POSITIVE_INFINITY);
      this.#listening = false;
      this.#heard.push(...rings);
      // Nothing came: it is time to look for what falls due, and for who has died.
      if (messages.length + rings.length === 0) this.#tendedAt = Number.NEGATIVE_INFINITY;
      for (const entry of messages) this.#deliver(entry);
      this.#keepLease();
      this.#poke();
    } catch (error) {
      this.#listening = false;
      const outlook = outlookOf(error);
      this.#astray ||= outlook === 'lost';
      if (outlook === 'lost') this.#most = Math.ceil(Math.min(this.#most, this.#credit() + 1) / 2);
      // The group is gone, of the queue or of its bell.
      const groupIsGone = error instanceof Error && /NOGROUP|UNBLOCKED/.test(error.message);
      this.#missingGroup ||= groupIsGone;
      this.#failed(error, groupIsGone ? 'refused' : outlook);
    }
  }

  /** Waits for news, or until there may be some: something falls due, or a consumer that holds messages may have died. */
  async #wait(due: number): Promise<Heard> {
    const { listener, connection, lease } = this.#options;
    const dueAt = performance.now() + due;
    let ask = Number.POSITIVE_INFINITY;
    for (;;) {
      const most = Math.min(LONGEST_WAIT, lease * 0.4, dueAt - performance.now(), ask);
      const heard = await listener.listen(Math.min(this.#most, this.#credit()), Math.max(1, Math.ceil(most)));
      if (heard.messages.length + heard.rings.length > 0 || this.#line.first === undefined || performance.now() >= dueAt) return heard;
      // One command, where an exchange is some dozen for the server.
      ask = await soonestDeath(connection, this.#options);
      // Who waited may have left meanwhile, and a wait for no message at all would bring every one there is.
      if (ask <= 0 || this.#line.first === undefined || this.#closing) return heard;
    }
  }

  /** Hands a message to the next subscription in the line; gives it back where there is none any more. */
  #deliver([id, fields, attempt = 1]: Entry): void {
    const holder = this.#line.first;
    if (holder === undefined || this.#closing) {
      void this.#settlements.add(id, { kind: 'back', deliveries: attempt - 1, delay: 0 }).catch(() => {});
      this.#poke();
      return;
    }
    const message = readMessage(id, attempt, fields);
    if (typeof message === 'string') this.#setAside(id, message);
    else this.#lend(message, holder);
  }

  #lend(message: Message, holder: DeliverySubscription): void {
    // It had come before, and its lease ended in the meantime: who has it from then has lost it.
    const earlier = this.#held.get(message.id);
    if (earlier !== undefined) {
      earlier.delivery.recall();
      earlier.holder.forget(earlier.delivery);
    }
    this.#line.remove(holder);
    const delivery = holder.take(message);
    this.#held.set(message.id, { delivery, holder });
    holder.emit(delivery);
  }

  #setAside(id: string, reason: string): void {
    this.logger.error(
      `Entry ${id} of the stream of queue "${this.queueName}" is no message: ${reason}. It was moved aside, into the hash "${this.#options.keys.aside}".`,
    );
    void this.#settlements.add(id, { kind: 'aside', reason }).catch(() => {});
    this.#poke();
  }

  /** While something is out, Redis hears of this consumer well within its lease. */
  #keepLease(): void {
    clearTimeout(this.#leaseTimer);
    if (this.#held.size === 0 || this.#closing) return;
    this.#leaseTimer = setTimeout(() => {
      this.#leaseDue = true;
      this.#poke();
    }, this.#options.lease / 3);
  }

  /** An exchange or a wait has failed: goes on after a pause, or ends the streams where that would be of no use. */
  #failed(error: unknown, outlook: Outlook): void {
    if (this.#closing) {
      this.#onClosed?.();
      return;
    }
    if (outlook === 'hopeless') {
      // What is out stays with this consumer, until somebody is there to ask for it.
      this.#astray = true;
      const explained = this.#options.explain(error);
      this.#settlements.giveUp(({ reject }) => reject(explained));
      const members = [...this.#members];
      this.#members.clear();
      if (members.length > 0) this.logger.error(explained.message, error);
      for (const member of members) member.end({ error: explained });
      return;
    }
    this.#failures += 1;
    if (outlook === 'refused' && this.#failures === 2)
      this.logger.warn(`Redis refuses to serve queue "${this.queueName}", trying again until it does`, error);
    this.#pause ??= setTimeout(
      () => {
        this.#pause = undefined;
        this.#poke();
      },
      // A connection that is lost has a pause of its own.
      outlook === 'lost' ? 0 : backoff(undefined, this.#failures),
    );
  }
}

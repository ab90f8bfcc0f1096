import type { Subscriber } from 'rxjs';
import type { Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { DriverConsumer } from '../core/driver.js';
import type { DriverDelivery, Settled } from '../core/delivery.js';
import { ConnectionLostError, type EngineErrors, type ErrorKind } from '../core/engine-errors.js';
import type { FatalErrors } from '../core/fatal-errors.js';
import { InFlight } from '../core/in-flight.js';
import { LeaseTimer } from '../core/lease-timer.js';
import { maxBackoffFor } from '../core/options.js';
import type { Refusals } from '../core/refusals.js';
import { SettlementQueue } from '../core/settlement-queue.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import type { Connection } from './connection.js';
import { consumersOf } from './consumers.js';
import { type Answer, type Asker, type Entry, exchange, type Request } from './exchange.js';
import { compareIds } from './ids.js';
import { type Heard, type Listener, LONGEST_WAIT } from './listener.js';
import { isForAnother, readMessage } from './message.js';
import { type LostReply, ReadSize } from './read-size.js';
import { isGroupGone } from './redis-errors.js';
import { countedOf, type Verdict } from './settlements.js';

export interface GroupConsumerOptions extends Asker {
  readonly queueName: string;
  readonly connection: Connection;
  readonly listener: Listener;
  /** Sees to it that the group exists. */
  readonly open: () => Promise<void>;
  readonly failures: EngineErrors;
  readonly refusals: Refusals;
  readonly fatalErrors: FatalErrors;
  readonly logger: Logger;
}

/** How many messages and settlements go in one exchange at most: Lua unpacks no more than some thousands. */
const MOST = 1000;

/**
 * All subscriptions of this process to one group, as one consumer of Redis.
 *
 * It speaks with the group in exchanges, one at a time: each brings what was settled since the last one, and takes what there is room for. When there is
 * less than there is room for, it waits for more on the listener's connection, and goes on with exchanges when it has heard something.
 */
export class GroupConsumer implements DriverConsumer {
  readonly #options: GroupConsumerOptions;
  readonly #inFlight: InFlight;
  readonly #settlements = new SettlementQueue<Verdict>(compareIds);
  /** Redis has to hear of this consumer, or what is out goes to others. */
  readonly #lease: LeaseTimer;
  #heard: string[] = [];
  #scheduled: NodeJS.Immediate | undefined;
  #exchanging = false;
  #listening = false;
  /** How many messages the wait may bring, at most. */
  #asked = 0;
  /** The server may hold messages for it that it does not: something was sent that may have brought some, and its answer was lost, or a settlement was lost there. */
  #astray = false;
  /** No second attempt would help: it asks again when a subscriber comes, or something is settled. */
  #resigned = false;
  /** The number of the connection that it has spoken over. */
  #spokeOver = 0;
  /**
   * Since when the server has answered without a gap, by the clock of `performance`. During an outage no consumer can renew its lease: one whose lease has
   * expired is dead only if the server was there for all of it.
   */
  #steadySince = performance.now();
  readonly #backoff: (error: unknown, failures: number) => number;
  readonly #readSize = new ReadSize();
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
  #leaseDue = false;
  #pause: NodeJS.Timeout | undefined;
  #closing = false;
  #onClosed: (() => void) | undefined;

  constructor(options: GroupConsumerOptions) {
    this.#options = options;
    const { queueName, logger, lease } = options;
    this.#backoff = exponentialBackoff({ initial: 50, max: maxBackoffFor(lease), jitter: 0.5 });
    this.#inFlight = new InFlight({
      queueName,
      logger,
      onChange: () => this.#poke(),
      onFull: () => this.#stopListening(),
      onCredit: () => {
        // A wait may be long: it has to end as soon as it may bring more than there is credit for. Most of what changes in a running consumer is no such thing.
        if (!this.#mayWait || this.#asked > this.#inFlight.credit) this.#stopListening();
        this.#poke();
      },
      settle: (delivery, how, delay, reason) =>
        reason === undefined
          ? this.#settle(delivery, how, delay)
          : this.#setAside(delivery.token, 'is given up', reason),
    });
    this.#lease = new LeaseTimer(lease, () => {
      this.#leaseDue = true;
      this.#poke();
    });
  }

  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    this.#resigned = false;
    this.#inFlight.connect(subscriber, intake);
  }

  settled(): Promise<void> {
    return this.#settlements.answeredNow();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#inFlight.end();
    clearTimeout(this.#pause);
    this.#pause = undefined;
    if (this.#options.connection.isReady) {
      const closed = new Promise<void>((resolve) => {
        this.#onClosed = resolve;
      });
      this.#stopListening();
      this.#poke();
      await closed;
    }
    this.abandon();
  }

  abandon(): void {
    this.#onClosed?.();
    this.#onClosed = undefined;
    this.#closing = true;
    clearImmediate(this.#scheduled);
    clearTimeout(this.#pause);
    this.#lease.stop();
    this.#options.listener.close();
    this.#settlements.giveUp(({ resolve }) => resolve(false));
  }

  #settle({ token: id, attempt }: DriverDelivery, how: Settled, delay: number): Promise<boolean> {
    const goesBack = how === 'retried' || how === 'released';
    const counts = this.#settlements.add(
      id,
      goesBack ? { kind: 'back', deliveries: how === 'released' ? attempt - 1 : attempt, delay } : { kind: 'ack' },
    );
    this.#poke();
    return counts;
  }

  /** Looks, at the end of this turn, whether there is something to say: all settlements of a turn travel together. */
  #poke(): void {
    if (this.#scheduled !== undefined || this.#exchanging || this.#pause !== undefined) return;
    this.#scheduled = setImmediate(() => {
      this.#scheduled = undefined;
      if (!this.#listening) this.#inFlight.quiet();
      if (this.#hasToSay()) void this.#exchange();
    });
  }

  #hasToSay(): boolean {
    if (this.#settlements.size > 0 || this.#heard.length > 0 || this.#leaseDue) return true;
    // While it waits on the other connection, it has nothing to ask for.
    if (this.#listening) return false;
    if (this.#resigned) return this.#onClosed !== undefined;
    return this.#inFlight.hasCredit || this.#watching || this.#astray || this.#onClosed !== undefined;
  }

  /** Whether a wait may bring messages. A subscriber that pauses ends it, though others have room: it has to know when nothing is on its way. */
  get #mayWait(): boolean {
    return this.#inFlight.hasCredit && !this.#inFlight.isPausing;
  }

  #stopListening(): void {
    if (this.#listening) void this.#options.listener.cancel();
  }

  async #exchange(): Promise<void> {
    const { connection, open, lease } = this.#options;
    this.#exchanging = true;
    let want = 0;
    try {
      await connection.ready();
      if (connection.number !== this.#spokeOver) this.#meetServer();
      if (this.#missingGroup) await open();
      this.#missingGroup = false;
      // What was lost is looked at before anything is read: it tells how much may be.
      want = this.#listening || this.#astray ? 0 : Math.min(MOST, this.#inFlight.credit);
      const request = this.#request(want);
      const sentAt = performance.now();
      const answer = await exchange(connection, this.#options, request);
      // Something stood still on the way, and may have kept other consumers from renewing their leases.
      if (performance.now() - sentAt > lease / 3) this.#steadySince = performance.now();
      if (answer === undefined) {
        this.#settlements.putBack({ again: false });
        this.#astray ||= want > 0;
        await open();
      } else {
        this.#take(answer, request);
      }
      this.#failures = 0;
      this.#options.refusals.end();
      this.#options.fatalErrors.end();
      this.#exchanging = false;
      this.#poke();
    } catch (error) {
      const kind = this.#options.failures.classify(error);
      this.#settlements.putBack({ again: kind === 'retryable' });
      this.#astray ||= want > 0;
      this.#exchanging = false;
      this.#failed(error, kind);
    }
  }

  /** The connection is a new one, and may lead to another server than the one before. */
  #meetServer(): void {
    const { connection, listener } = this.#options;
    this.#spokeOver = connection.number;
    this.#steadySince = performance.now();
    this.#astray ||= this.#established;
    listener.drop(new ConnectionLostError('The queue may be on another server'));
  }

  #request(want: number): Request {
    const now = performance.now();
    const settlements = this.#settlements.take(MOST);
    const leave = this.#onClosed !== undefined && !this.#listening && this.#settlements.size === 0;
    const { bytes } = this.#readSize;
    const tend = !leave && now - this.#tendedAt >= this.#options.lease / 3;
    if (tend) this.#tendedAt = now;
    return {
      want,
      bytes,
      settlements,
      heard: this.#heard.slice(),
      unwatched: this.#watching && !this.#listening,
      tend,
      steady: Math.floor(now - this.#steadySince),
      // Not while a wait on the other connection may bring what nobody here knows yet.
      known: this.#astray && !this.#listening ? [...this.#inFlight.ids, ...this.#settlements.ids] : undefined,
      plain:
        this.#quiet &&
        want > 0 &&
        bytes === Number.POSITIVE_INFINITY &&
        !this.#astray &&
        this.#heard.length === 0 &&
        settlements.every(({ verdict }) => verdict.kind === 'ack'),
      established: this.#established,
      leave,
    };
  }

  #take(
    { counted, messages, wait, deleted, more, lost }: Answer,
    { want, settlements, heard, unwatched, known, leave }: Request,
  ): void {
    this.#heard.splice(0, heard.length);
    this.#leaseDue = this.#resigned = false;
    this.#established = true;
    this.#quiet = wait === undefined;
    if (known !== undefined) this.#astray = false;
    if (unwatched) this.#watching = false;
    this.#settlements.answered(countedOf(settlements, counted));
    for (const id of deleted) {
      const { queueName: queue, group, logger } = this.#options;
      const message = `Message ${id} of queue ${JSON.stringify(queue)} is lost: another program deleted it from the stream before it was settled`;
      logger.error(message, { queue, group, id });
    }
    if (lost !== undefined && this.#readSize.lost(lost)) this.#setTooLargeAside(lost);
    for (const entry of messages) this.#deliver(entry);
    this.#keepLease();
    if (leave) this.#onClosed?.();
    else if (messages.length < want && !more && !this.#closing) {
      // The group counts on it, also if nobody waits here any more.
      this.#watching = wait !== undefined;
      // All that was asked for is here. The wait may bring more, and may be long.
      this.#inFlight.quiet();
      if (this.#inFlight.hasCredit) void this.#listen(wait);
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
      const kind = this.#options.failures.classify(error);
      this.#astray ||= kind === 'retryable';
      this.#missingGroup ||= isGroupGone(error);
      this.#failed(error, isGroupGone(error) ? 'refused' : kind);
    }
  }

  /**
   * Waits for news, or until there may be some: something falls due, or a consumer that holds messages may have died. For no longer than the lease: one that
   * held nothing may have died, too, and have been the only one to know of what falls due.
   */
  async #wait(due: number): Promise<Heard> {
    const { listener, lease } = this.#options;
    const dueAt = performance.now() + Math.min(due, lease);
    let ask = Number.POSITIVE_INFINITY;
    for (;;) {
      const most = Math.min(LONGEST_WAIT, lease / 2, dueAt - performance.now(), ask);
      this.#asked = this.#readSize.bytes === Number.POSITIVE_INFINITY ? Math.min(MOST, this.#inFlight.credit) : 1;
      const heard = await listener.listen(this.#asked, Math.max(1, Math.ceil(most)));
      const isOver = heard.messages.length + heard.rings.length > 0 || !this.#mayWait || performance.now() >= dueAt;
      // Nobody can tell it of news: it has to ask.
      if (isOver || !listener.isReady) return heard;
      // One command, where an exchange is some dozen for the server.
      ask = await this.#nextExpiry();
      // Who waited may have left meanwhile, and a wait for no message at all would bring every one there is.
      if (ask <= 0 || !this.#mayWait || this.#closing) return heard;
    }
  }

  /** Asks how long until the lease of another consumer that holds messages expires, in milliseconds; Infinity: there is none. */
  async #nextExpiry(): Promise<number> {
    const { connection, keys, group, lease, consumer } = this.#options;
    const consumers = await consumersOf(connection, keys, group, lease);
    const holders = consumers.filter(({ name, pending }) => name !== consumer && pending > 0);
    return Math.min(...holders.map(({ left }) => left));
  }

  /** Hands a message to the next subscription in the line; gives it back where there is none any more. */
  #deliver([id, fields, attempt = 1]: Entry): void {
    this.#readSize.arrived(id);
    if (isForAnother(fields, this.#options.group)) {
      // This group is done with it. If this fails, it is passed over again when its lease expires.
      void this.#settlements.add(id, { kind: 'ack' }).catch(() => {});
      this.#poke();
      return;
    }
    const message = this.#inFlight.canDeliver && !this.#closing ? readMessage(id, attempt, fields) : undefined;
    // If this fails, the entry stays pending, and is quarantined when its lease expires.
    if (typeof message === 'string') void this.#setAside(id, 'is no message', message).catch(() => {});
    else if (message === undefined || this.#inFlight.deliver(message) === undefined) {
      // If this fails, the consumer logs it, and the message is redelivered when its lease expires.
      void this.#settlements.add(id, { kind: 'back', deliveries: attempt - 1, delay: 0 }).catch(() => {});
      this.#poke();
    }
  }

  /** A message that never arrives would hold up all that are behind it. */
  #setTooLargeAside({ id, bytes }: LostReply): void {
    const reason = `the connection was lost each time while its ${bytes} bytes were read`;
    // If this fails, the message stays pending, and is quarantined when its lease expires.
    void this.#setAside(id, 'cannot be read', reason).catch(() => {});
  }

  #setAside(id: string, what: string, reason: string): Promise<boolean> {
    const { queueName: queue, group, keys, logger } = this.#options;
    const which = `Entry ${id} of the stream of queue ${JSON.stringify(queue)}`;
    logger.error(`${which} ${what}: ${reason}. It is in quarantine, in the hash ${JSON.stringify(keys.quarantine)}.`, {
      queue,
      group,
      id,
    });
    const counts = this.#settlements.add(id, { kind: 'aside', reason });
    this.#poke();
    return counts;
  }

  /** Redis has heard of this consumer just now. */
  #keepLease(): void {
    this.#lease.restart(this.#inFlight.size > 0 && !this.#closing);
  }

  /** An exchange or a wait has failed: goes on after a pause, or ends the streams where that would be of no use. */
  #failed(error: unknown, kind: ErrorKind): void {
    if (this.#closing) {
      this.#onClosed?.();
      return;
    }
    if (kind === 'fatal') {
      this.#options.connection.drop(error);
      this.#options.listener.drop(error);
      // What is out stays with this consumer, until somebody is there to ask for it.
      this.#astray = this.#resigned = true;
      const explained = this.#options.failures.explained(error);
      this.#settlements.giveUp(({ reject }) => reject(explained));
      if (this.#inFlight.hasMembers) this.#options.fatalErrors.add(explained);
      this.#inFlight.end({ error: explained });
      return;
    }
    this.#steadySince = performance.now();
    this.#failures += 1;
    if (kind === 'refused' && !isGroupGone(error)) this.#options.refusals.add(error);
    this.#pause ??= setTimeout(
      () => {
        this.#pause = undefined;
        this.#poke();
      },
      // A connection that is lost has a pause of its own.
      kind === 'retryable' ? 0 : this.#backoff(undefined, this.#failures),
    );
  }
}

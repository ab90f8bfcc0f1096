import type { Disposition } from '../core/base-delivery.js';
import type { DriverDelivery } from '../core/delivery.js';
import { ConnectionLostError, type EngineErrors, type ErrorKind } from '../core/engine-errors.js';
import type { GroupSession as CoreGroupSession, GroupHost } from '../core/group-loop.js';
import { LeaseTimer } from '../core/lease-timer.js';
import { SettlementQueue } from '../core/settlement-queue.js';
import type { Logger } from '../internal/logger.js';
import { consumersOf } from './consumers.js';
import { type Action, type Answer, type Asker, countedOf, type Entry, exchange, type Request } from './exchange.js';
import { compareIds } from './ids.js';
import type { RedisLink } from './link.js';
import { type Heard, type Listener, LONGEST_WAIT } from './listener.js';
import { isForAnother, readMessage } from './message.js';
import { type LostReply, ReadSize } from './read-size.js';
import { isGroupGone } from './redis-errors.js';

export interface GroupSessionOptions extends Asker {
  readonly queueName: string;
  readonly host: GroupHost;
  readonly listener: Listener;
  /** Creates the group if it is missing. */
  readonly open: (link: RedisLink) => Promise<void>;
  readonly failures: EngineErrors;
  readonly logger: Logger;
}

/** The most messages and settlements of one exchange: Lua unpacks only some thousands. */
const MAX_EXCHANGE = 1000;

/**
 * One group of a queue. All subscriptions of this process are one consumer of Redis.
 *
 * One exchange at a time sends settlements and fetches messages. If it returns fewer messages than
 * there is credit for, the session waits for more on the listener's connection.
 */
export class GroupSession implements CoreGroupSession<RedisLink> {
  readonly #options: GroupSessionOptions;
  readonly #settlements = new SettlementQueue<Action>(compareIds);
  readonly #lease: LeaseTimer;
  #isLeaseDue = false;
  readonly #readSize = new ReadSize();
  #wakeUps: readonly string[] = [];
  /** The wait on the listener's connection. */
  #listening: Promise<void> | undefined;
  /** How many messages that wait may return. */
  #asked = 0;
  #link: RedisLink | undefined;
  /** The server may count more messages as in flight here: a reply or a settlement was lost. */
  #mayHoldUnknown = false;
  /** The last error was fatal: the session waits for a new subscriber. */
  #hasFailed = false;
  /**
   * Since when the server has answered without a gap, as `performance.now()`. During an outage, no
   * consumer can renew its lease, so an expired lease counts only if the server was there for all
   * of it.
   */
  #steadySince = performance.now();
  /** The group of the queue, or that of its wake stream, was deleted. */
  #isGroupMissing = false;
  /** At the last answer, nothing was requeued and nothing became due. */
  #onlyNew = false;
  /** The group has answered before. */
  #hasJoined = false;
  /** Other consumers may rely on this one to wait for the next due message. */
  #isWatching = false;
  #reclaimedAt = Number.NEGATIVE_INFINITY;

  constructor(options: GroupSessionOptions) {
    this.#options = options;
    this.#lease = new LeaseTimer(options.lease, () => {
      this.#isLeaseDue = true;
      options.host.wake();
    });
  }

  get hasWork(): boolean {
    if (this.#settlements.size > 0 || this.#wakeUps.length > 0 || this.#isLeaseDue) return true;
    if (this.#listening !== undefined) return false;
    if (this.#options.host.inFlight.hasCredit) return true;
    return !this.#hasFailed && (this.#isWatching || this.#mayHoldUnknown);
  }

  /** The new link may lead to another server. */
  async begin(link: RedisLink): Promise<void> {
    if (link === this.#link) return;
    this.#link = link;
    this.#steadySince = performance.now();
    this.#mayHoldUnknown ||= this.#hasJoined;
    this.#options.listener.drop(new ConnectionLostError('The queue may be on another server'));
  }

  async flush(link: RedisLink): Promise<void> {
    await this.#exchange(link, false);
    this.#options.host.wake();
  }

  turnEnded(): void {
    if (this.#listening === undefined) this.#options.host.inFlight.quiet();
  }

  settle({ token, attempt }: DriverDelivery, { action, isCounted, delay, quarantine }: Disposition): Promise<boolean> {
    if (quarantine !== undefined) return this.#quarantine(token, 'is given up', quarantine);
    if (action !== 'requeue') return this.#add(token, { kind: 'ack' });
    return this.#add(token, { kind: 'requeue', deliveries: isCounted ? attempt : attempt - 1, delay });
  }

  creditShrank(): void {
    // The wait may be long. It ends as soon as it may return more than there is credit for.
    if (!this.#mayWait || this.#asked > this.#options.host.inFlight.credit) void this.#options.listener.cancel();
  }

  interrupted(error: unknown, kind: ErrorKind): void {
    this.#steadySince = performance.now();
    if (kind !== 'fatal') return;
    this.#options.listener.drop(error);
    this.#mayHoldUnknown = this.#hasFailed = true;
  }

  giveUp(error?: Error): void {
    this.#settlements.giveUp(({ resolve, reject }) => (error === undefined ? resolve(false) : reject(error)));
  }

  settled(): Promise<void> {
    return this.#settlements.confirmedNow();
  }

  async leave(link: RedisLink): Promise<void> {
    void this.#options.listener.cancel();
    await this.#listening;
    while (!(await this.#exchange(link, true)));
  }

  stop(): void {
    this.#lease.stop();
    this.#options.listener.close();
  }

  /** Whether a wait may return messages. None may be in transit when a subscriber pauses. */
  get #mayWait(): boolean {
    const { inFlight } = this.#options.host;
    return inFlight.hasCredit && !inFlight.isPausing;
  }

  /** Returns whether the consumer has left the group. */
  async #exchange(link: RedisLink, isLeaving: boolean): Promise<boolean> {
    const { open, failures, lease } = this.#options;
    if (this.#isGroupMissing) await open(link);
    this.#isGroupMissing = false;
    const request = this.#request(isLeaving);
    const sentAt = performance.now();
    let answer: Answer | undefined;
    try {
      answer = await exchange(link, this.#options, request);
    } catch (error) {
      this.#settlements.putBack({ again: failures.classify(error) === 'retryable' });
      this.#mayHoldUnknown ||= request.want > 0;
      throw error;
    }
    // After such a delay, other consumers may not have been able to renew their leases.
    if (performance.now() - sentAt > lease / 3) this.#steadySince = performance.now();
    if (answer !== undefined) {
      this.#take(answer, request);
      return request.leave;
    }
    this.#settlements.putBack({ again: false });
    this.#mayHoldUnknown ||= request.want > 0;
    this.#isGroupMissing = true;
    return isLeaving;
  }

  #request(isLeaving: boolean): Request {
    const { host, lease } = this.#options;
    const now = performance.now();
    const isListening = this.#listening !== undefined;
    const mayHoldUnknown = this.#mayHoldUnknown;
    // Lost messages come first: they tell how much the consumer may read at a time.
    const want = isListening || mayHoldUnknown ? 0 : Math.min(MAX_EXCHANGE, host.inFlight.credit);
    const settlements = this.#settlements.take(MAX_EXCHANGE);
    const leave = isLeaving && this.#settlements.size === 0;
    const maxBytes = this.#readSize.bytes;
    const reclaim = !leave && now - this.#reclaimedAt >= lease / 3;
    if (reclaim) this.#reclaimedAt = now;
    return {
      want,
      maxBytes,
      settlements,
      wakeUps: this.#wakeUps,
      stopsWatching: this.#isWatching && !isListening,
      reclaim,
      steady: Math.floor(now - this.#steadySince),
      // Not while the listener may receive messages that are not known here yet.
      held: mayHoldUnknown && !isListening ? [...host.inFlight.ids, ...this.#settlements.ids] : undefined,
      onlyNew:
        this.#onlyNew &&
        want > 0 &&
        maxBytes === Number.POSITIVE_INFINITY &&
        this.#wakeUps.length === 0 &&
        settlements.every(({ action }) => action.kind === 'ack'),
      joined: this.#hasJoined,
      leave,
    };
  }

  #take(answer: Answer, { want, settlements, wakeUps, stopsWatching, held, leave }: Request): void {
    const { queueName: queue, group, host, logger } = this.#options;
    const { counted, messages, wait, deleted, more, lost } = answer;
    this.#wakeUps = this.#wakeUps.slice(wakeUps.length);
    this.#isLeaseDue = this.#hasFailed = false;
    this.#hasJoined = true;
    this.#onlyNew = wait === undefined;
    if (held !== undefined) this.#mayHoldUnknown = false;
    if (stopsWatching) this.#isWatching = false;
    this.#settlements.answered(countedOf(settlements, counted));
    for (const id of deleted) {
      const message = `Message ${id} of queue ${JSON.stringify(queue)} is lost: another program deleted it from the stream before it was settled`;
      logger.error(message, { queue, group, id });
    }
    if (lost !== undefined && this.#readSize.lost(lost)) this.#quarantineTooLarge(lost);
    for (const entry of messages) this.#deliver(entry);
    this.#keepLease();
    if (leave || messages.length >= want || more || host.isClosing) return;
    // Others rely on this consumer, even if it has no subscriber any more.
    this.#isWatching = wait !== undefined;
    host.inFlight.quiet();
    if (host.inFlight.hasCredit) this.#listening = this.#listen(wait ?? Number.POSITIVE_INFINITY);
  }

  async #listen(due: number): Promise<void> {
    const { host, failures } = this.#options;
    try {
      const { messages, wakeUps } = await this.#wait(due);
      this.#listening = undefined;
      this.#wakeUps = [...this.#wakeUps, ...wakeUps];
      // Without news, the next exchange looks for due messages and expired consumers.
      if (messages.length + wakeUps.length === 0) this.#reclaimedAt = Number.NEGATIVE_INFINITY;
      for (const entry of messages) this.#deliver(entry);
      this.#keepLease();
      host.wake();
    } catch (error) {
      this.#listening = undefined;
      const kind = failures.classify(error);
      const isGone = isGroupGone(error);
      this.#mayHoldUnknown ||= kind === 'retryable';
      this.#isGroupMissing ||= isGone;
      host.failed(error, isGone ? 'refused' : kind);
    }
  }

  /**
   * Waits for news, or until a message becomes due or the lease of a consumer expires. Waits no
   * longer than the lease: if a consumer without messages has died, only that consumer may have
   * known of the next due message.
   */
  async #wait(due: number): Promise<Heard> {
    const { listener, lease, host } = this.#options;
    const until = performance.now() + Math.min(due, lease);
    let expiry = Number.POSITIVE_INFINITY;
    for (;;) {
      const most = Math.min(LONGEST_WAIT, lease / 2, until - performance.now(), expiry);
      this.#asked =
        this.#readSize.bytes === Number.POSITIVE_INFINITY ? Math.min(MAX_EXCHANGE, host.inFlight.credit) : 1;
      const heard = await listener.listen(this.#asked, Math.max(1, Math.ceil(most)));
      const isOver = heard.messages.length + heard.wakeUps.length > 0 || !this.#mayWait || performance.now() >= until;
      // A listener without a connection learns of nothing: an exchange has to ask.
      if (isOver || !listener.isReady) return heard;
      // This is one command, where an exchange is some dozens for the server.
      expiry = await this.#nextExpiry();
      // A subscriber may have left meanwhile, and a wait for no messages would return all.
      if (expiry <= 0 || !this.#mayWait || host.isClosing) return heard;
    }
  }

  /** When the next lease of another consumer with messages expires, in milliseconds from now. */
  async #nextExpiry(): Promise<number> {
    const { keys, group, lease, consumer } = this.#options;
    if (this.#link === undefined) throw new ConnectionLostError('There is no connection');
    const consumers = await consumersOf(this.#link, keys, group, lease);
    const holders = consumers.filter(({ name, pending }) => name !== consumer && pending > 0);
    return Math.min(...holders.map(({ left }) => left));
  }

  #deliver([id, fields, attempt = 1]: Entry): void {
    const { group, host } = this.#options;
    this.#readSize.arrived(id);
    if (isForAnother(fields, group)) {
      this.#settle(id, { kind: 'ack' });
      return;
    }
    const message = host.inFlight.canDeliver && !host.isClosing ? readMessage(id, attempt, fields) : undefined;
    if (typeof message === 'string') void this.#quarantine(id, 'is no message', message).catch(() => {});
    else if (message === undefined || !host.deliver(message))
      this.#settle(id, { kind: 'requeue', deliveries: attempt - 1, delay: 0 });
  }

  /** A message that never arrives would block all messages behind it. */
  #quarantineTooLarge({ id, bytes }: LostReply): void {
    const reason = `the connection was lost each time while its ${bytes} bytes were read`;
    void this.#quarantine(id, 'cannot be read', reason).catch(() => {});
  }

  #quarantine(id: string, what: string, reason: string): Promise<boolean> {
    const { queueName, keys, host } = this.#options;
    const entry = `Entry ${id} of the stream of queue ${JSON.stringify(queueName)}`;
    host.quarantined(`${entry} ${what}:`, reason, `the hash ${JSON.stringify(keys.quarantine)}`);
    return this.#add(id, { kind: 'quarantine', reason });
  }

  /** Settles a message that no subscriber has seen. If this fails, its lease expires. */
  #settle(id: string, action: Action): void {
    void this.#add(id, action).catch(() => {});
  }

  #add(id: string, action: Action): Promise<boolean> {
    const counted = this.#settlements.add(id, action);
    this.#options.host.wake();
    return counted;
  }

  /** The server has just got a command of this consumer. */
  #keepLease(): void {
    const { inFlight, isClosing } = this.#options.host;
    this.#lease.restart(inFlight.size > 0 && !isClosing);
  }
}

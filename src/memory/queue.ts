import type { TimestampProvider } from 'rxjs';
import type { ConsumerGroup, QueueEntry, QueueKey, QueuePayload, QueueStats } from '../backend.js';
import { QueueClosedError, QueueOverflowError } from '../errors.js';
import { DONE } from '../internal/answers.js';
import { describeError } from '../internal/describe.js';
import { NO_HEADERS } from '../internal/message.js';
import type { PublishDetails } from '../internal/publish-options.js';
import { throwLater } from '../internal/throw-later.js';
import { turn } from '../internal/turn.js';
import { clockOf, isVirtual } from '../internal/virtual-time.js';
import { Admission } from './admission.js';
import type { Consumer } from './consumer.js';
import { type Delayed, Delays } from './delays.js';
import { Dispatcher } from './dispatcher.js';
import type { Group } from './group.js';
import { Groups } from './groups.js';
import { Ledger } from './ledger.js';
import { Message, type Publication, UNPLACED } from './message.js';
import type { CheckedMemoryOptions } from './options.js';
import { Watch } from './watch.js';

/**
 * The queue itself: what comes in, who gets it, when it is done with. Everything takes effect within the call.
 *
 * Messages go one way: `publish` lets them in, if need be after waiting for room; they take their place in the groups, or among the delayed; `serve`
 * hands them to consumers; `settle` or `giveBack` ends the loan. The code of consumers and of observers runs only from `serve` and from the watch,
 * when the state is true, and never inside itself.
 */
export class MemoryQueue {
  readonly options: CheckedMemoryOptions;
  /** Names this queue among all that there are and were. */
  readonly id = Math.random().toString(36).slice(2, 10);
  readonly #ledger = new Ledger();
  readonly #watch = new Watch(() => this.#ledger.unfinished);
  readonly #groups: Groups;
  readonly #admission: Admission;
  readonly #dispatcher: Dispatcher;
  readonly #delays: Delays<Group | undefined>;
  /** Times are kept relative to it: small integers cost no object. */
  readonly #madeAt: number;
  readonly #copies: boolean;
  readonly #virtual: boolean;
  readonly #clock: TimestampProvider;
  #consumers = 0;
  #dropped = 0;
  #closed = false;
  #discards = false;

  constructor(options: CheckedMemoryOptions) {
    this.options = options;
    this.#groups = new Groups(options.groups, this.#ledger);
    this.#admission = new Admission(options.capacity, this.#ledger, this.#groups);
    this.#dispatcher = new Dispatcher(this.#groups, options.scheduler, {
      admit: () => {
        while (this.#admission.somebodyWaits && this.#admit((group) => this.#groups.allWait(group)));
      },
      failed: (error) => this.#failed(error),
      atRest: () => {
        if (this.#closed) this.#endDrained();
      },
    });
    this.#delays = new Delays(options.scheduler, (due) => this.#fallDue(due));
    this.#madeAt = options.scheduler.now();
    this.#virtual = isVirtual(options.scheduler);
    this.#clock = clockOf(options.scheduler);
    this.#copies = options.validate === 'json';
  }

  get counts(): Readonly<Ledger> {
    return this.#ledger;
  }

  get watch(): Pick<Watch, 'published$' | 'unfinished$' | 'join'> {
    return this.#watch;
  }

  get dropped(): number {
    return this.#dropped;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** What a consumer gets of a payload: itself, or where the payloads are JSON a copy of its own, as from a broker. */
  handOver(payload: QueuePayload): QueuePayload {
    return this.#copies ? JSON.parse(JSON.stringify(payload)) : payload;
  }

  /** A time that was kept relative to the making of the queue, in milliseconds since the epoch. */
  publishedAt(relative: number): number {
    return this.#madeAt + relative;
  }

  publish(key: QueueKey, payload: QueuePayload, details?: PublishDetails): Promise<void> {
    if (details?.signal?.aborted) return Promise.reject(details.signal.reason);
    if (this.#closed) return Promise.reject(this.#closedError());
    if (details === undefined && this.#enterPlainly(key, payload)) return this.#done();
    if (!this.#admission.hasRoom(isDelayed(details), details?.group)) {
      const { overflow, name } = this.options;
      if (overflow === 'wait') return this.#waitForRoom(key, payload, details);
      if (overflow === 'error')
        return Promise.reject(
          new QueueOverflowError(`Queue ${JSON.stringify(name)} is full: ${this.#ledger.waiting} messages wait`),
        );
      if (!this.#makeRoom()) return this.#done();
    }
    this.#enter(key, payload, details);
    return this.#done();
  }

  /** Like `publish`, but never waits; says whether the message was taken. */
  tryPublish(key: QueueKey, payload: QueuePayload): boolean {
    if (this.#closed) throw this.#closedError();
    if (this.#enterPlainly(key, payload)) return true;
    if (!this.#admission.hasRoom(false, undefined) && !this.#makeRoom()) return false;
    this.#enter(key, payload, undefined);
    return true;
  }

  /** Somebody subscribes. */
  enrol(consumer: Consumer, name: ConsumerGroup): Group {
    const group = this.#groups.get(name);
    group.consumers.add(consumer);
    this.#consumers++;
    this.#dispatcher.consumerJoined();
    this.#watchTimer();
    return group;
  }

  /** Somebody leaves. */
  dismiss(consumer: Consumer, group: Group): void {
    if (!group.consumers.delete(consumer)) return;
    group.line.remove(consumer);
    if (--this.#consumers === 0) this.#dispatcher.cancel();
    this.#watchTimer();
  }

  /** A consumer left while `count` of its calls waited for a message. */
  waitCancelled(count: number): void {
    this.options.logger.debug(
      `A consumer of queue ${JSON.stringify(this.options.name)} left while ${count} of its calls waited for a message`,
      {
        queue: this.options.name,
      },
    );
  }

  /** A message that is out is done with. */
  settle(group: Group, publication: Publication | undefined): void {
    group.settle(publication);
    this.#countChanged();
    if (this.#closed) this.serve();
  }

  /** A message that is out goes back to its place, after a delay in milliseconds. Call `serve` when all that goes back has done so. */
  giveBack(group: Group, message: Message, delay: number): void {
    if (this.#discards) {
      this.settle(group, message.publication);
      return;
    }
    group.takeBack(message, delay > 0);
    if (delay > 0) this.#delays.add({ message, due: this.options.scheduler.now() + delay, target: group });
  }

  /** Hands out what can be handed out. */
  serve(): void {
    this.#dispatcher.serve();
  }

  /** The same, for a consumer that just subscribed; it may leave within the call. */
  serveNewcomer(hasLeft: () => boolean): void {
    this.#dispatcher.serveNewcomer(hasLeft);
  }

  /** Hands a message to a consumer who is not in line, unless there is none or somebody is being served. Says whether it did. */
  serveAtOnce(consumer: Consumer, group: Group): boolean {
    if (this.#dispatcher.running || group.line.first !== undefined) return false;
    if (group.ready === 0 && this.#admission.somebodyWaits)
      this.#admit((name) => this.#groups.only !== undefined || name === group.name);
    if (group.ready === 0) return false;
    group.handTo(consumer);
    if (this.#admission.somebodyWaits) this.serve();
    return true;
  }

  clear(): QueueEntry[] {
    const entries = this.#discard();
    if (entries.length > 0) this.#countChanged();
    this.serve();
    return entries;
  }

  close(drain: boolean): void {
    const first = !this.#closed;
    this.#closed = true;
    this.#watchTimer();
    if (first) this.#admission.turnAway(() => this.#closedError());
    if (!drain) {
      this.#discards = true;
      if (this.#discard().length > 0) this.#countChanged();
    }
    if (first) this.#watch.closed();
    this.serve();
  }

  stats(name: ConsumerGroup | undefined): QueueStats {
    const group = name === undefined ? this.#groups.only : this.#groups.get(name);
    // Over all groups a message counts once, and is ready while it is for any.
    const { ready, unfinished } = group ?? this.#ledger;
    return { ready, unfinished };
  }

  /**
   * Takes a message that is nothing but a key and a payload, where nobody watches, into the one group that there is; says whether it could. To a consumer
   * that waits for a payload it goes straight, and what would be thrown away is never made. It is what becomes of nearly every message.
   */
  #enterPlainly(key: QueueKey, payload: QueuePayload): boolean {
    const group = this.#groups.only;
    if (group === undefined || this.#watch.watchers > 0 || this.#admission.somebodyWaits) return false;
    const consumer = group.line.first;
    if (consumer === undefined) {
      if (this.#admission.full) return false;
      this.#dispatcher.messageEntered();
      this.#ledger.came();
      group.add(key, payload, this.#clock.now() - this.#madeAt);
      return true;
    }
    if (!consumer.payloadOnly || this.#dispatcher.running || group.ready > 0) return false;
    group.line.remove(consumer);
    group.handStraightTo(consumer, key, payload);
    return true;
  }

  /** Answers a publish that was taken. */
  #done(): Promise<void> {
    return this.#virtual ? DONE : turn.done();
  }

  #enter(key: QueueKey, payload: QueuePayload, details: PublishDetails | undefined): void {
    const now = this.options.scheduler.now();
    if (details === undefined && this.#groups.only !== undefined) {
      this.#groups.add(key, payload, now - this.#madeAt);
      this.#entered(key, payload);
    } else this.#enterRecord(...record(key, payload, details, now));
    this.serve();
  }

  #enterRecord(message: Message, due: number | undefined): void {
    if (due === undefined) this.#groups.add(message.key, message.payload, message);
    else {
      this.#ledger.came();
      this.#countDelayed(message, 1);
      this.#delays.add({ message, due, target: undefined });
    }
    this.#entered(message.key, message.payload);
  }

  #entered(key: QueueKey, payload: QueuePayload): void {
    this.#dispatcher.messageEntered();
    if (this.#watch.watchers === 0) return;
    this.#watch.entered(key, payload);
    this.#watch.counted();
  }

  #waitForRoom(key: QueueKey, payload: QueuePayload, details: PublishDetails | undefined): Promise<void> {
    const { scheduler, logger, name } = this.options;
    return this.#admission.wait(...record(key, payload, details, scheduler.now()), details?.signal, () => {
      logger.debug(`A publish to queue ${JSON.stringify(name)} was aborted while it waited for room`, { queue: name });
      this.serve();
    });
  }

  /** Lets the publish in that has waited longest, if there is room for it, or if it goes `straight` to a consumer. */
  #admit(straight: (group: ConsumerGroup | undefined) => boolean): boolean {
    return this.#admission.admit(straight, (message, due) => this.#enterRecord(message, due));
  }

  /** By the overflow policy: makes room for a message, or drops that message and says no. */
  #makeRoom(): boolean {
    const { overflow } = this.options;
    if (overflow === 'drop-newest') this.#dropped++;
    if (overflow !== 'drop-oldest') return false;
    while (this.#admission.full) {
      const before = this.#ledger.waiting;
      if (this.#groups.dropFirst() === undefined) this.#dropDelayed(this.#delays.shift());
      this.#dropped += before - this.#ledger.waiting;
    }
    return true;
  }

  /** Removes all that waits or is delayed. */
  #discard(): QueueEntry[] {
    const entries: QueueEntry[] = [];
    const places = new Set<number>();
    for (let dropped = this.#groups.dropFirst(); dropped !== undefined; dropped = this.#groups.dropFirst()) {
      if (this.#groups.only === undefined) places.add(dropped.place);
      entries.push([dropped.key, dropped.payload]);
    }
    for (const delayed of this.#delays.drain()) {
      this.#dropDelayed(delayed);
      const { key, payload, place } = delayed.message;
      if (places.has(place)) continue;
      if (place !== UNPLACED) places.add(place);
      entries.push([key, payload]);
    }
    return entries;
  }

  #dropDelayed(delayed: Delayed<Group | undefined> | undefined): void {
    if (delayed?.target !== undefined) delayed.target.dropDelayed(delayed.message);
    else if (delayed !== undefined) this.#leaveDelays(delayed.message);
  }

  /** A delayed publish is due, or dropped. */
  #leaveDelays(message: Message): void {
    this.#countDelayed(message, -1);
    this.#ledger.dropped(undefined);
  }

  #countDelayed({ group: name }: Message, by: 1 | -1): void {
    for (const group of this.#groups.recipients(name)) group.delayedPublishes += by;
  }

  #fallDue(due: Delayed<Group | undefined>[]): void {
    for (const { message, target } of due) {
      if (target !== undefined) target.dueAgain(message);
      else {
        this.#leaveDelays(message);
        this.#groups.add(message.key, message.payload, message);
      }
    }
    this.serve();
  }

  /** The code of a consumer failed where RxJS lets it through. It fails neither the publisher nor the other consumers: it is thrown on its own. */
  #failed(error: unknown): void {
    this.options.logger.error(
      `A consumer of queue ${JSON.stringify(this.options.name)} failed: ${describeError(error)}`,
      {
        queue: this.options.name,
        error,
      },
    );
    throwLater(error);
  }

  #countChanged(): void {
    if (this.#watch.watchers > 0) this.#watch.counted();
  }

  /** After `close`: ends the streams of the groups for which nothing is left. */
  #endDrained(): void {
    if (this.#ledger.unfinished === 0) this.#watch.finished();
    for (const group of this.#groups.all) {
      if (!group.drained) continue;
      for (const consumer of [...group.consumers]) consumer.end();
    }
  }

  /** A closed queue keeps its timer only while there is somebody to deliver to, so that the process can end. */
  #watchTimer(): void {
    if (!this.#closed) return;
    if (this.#consumers > 0) this.#delays.resume();
    else this.#delays.pause();
  }

  #closedError(): QueueClosedError {
    return new QueueClosedError(`Queue ${JSON.stringify(this.options.name)} is closed`);
  }
}

function isDelayed(details: PublishDetails | undefined): boolean {
  return details !== undefined && details.delay > 0;
}

/** A message as a record, and when it is due, if it is delayed. */
function record(
  key: QueueKey,
  payload: QueuePayload,
  details: PublishDetails | undefined,
  now: number,
): [Message, due: number | undefined] {
  const message = new Message(key, payload, details?.headers ?? NO_HEADERS, now, 1, undefined, details?.group);
  return [message, details?.delay ? now + details.delay : undefined];
}

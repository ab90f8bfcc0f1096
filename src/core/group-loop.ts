import type { Subscriber } from 'rxjs';
import type { ConsumerGroup, Delivery } from '../backend.js';
import type { CreditIntake } from '../bridge/delivery-stream.js';
import type { Logger } from '../internal/logger.js';
import type { Disposition } from './base-delivery.js';
import type { Connection, Link } from './connection.js';
import type { DriverDelivery } from './delivery.js';
import type { DriverConsumer } from './driver.js';
import type { EngineErrors, ErrorKind } from './engine-errors.js';
import type { Message } from './envelope.js';
import type { QueueEvents } from './events.js';
import { FatalErrors } from './fatal-errors.js';
import { InFlight } from './in-flight.js';
import { reconnectBackoff } from './reconnect-backoff.js';
import { Refusals } from './refusals.js';

/** The loop, as its session sees it. */
export interface GroupHost {
  readonly inFlight: InFlight;
  /** The queue closes: the loop delivers no more messages. */
  readonly isClosing: boolean;
  /** Flushes at the end of this turn, or after the backoff. */
  wake(): void;
  /**
   * Delivers a message to the next subscriber. Returns false if there is none: the session then
   * requeues the message.
   */
  deliver(message: Message): boolean;
  /** Calls `begin` before the next flush, also over the same link. */
  restart(): void;
  /** Reports a failure outside `flush`. */
  failed(error: unknown, kind?: ErrorKind): void;
  /** Reports a message that the engine keeps in quarantine. */
  quarantined(message: string, reason: string, place: string): void;
}

/**
 * Implements one group on an engine: its commands and its wire format. `GroupLoop` calls one method
 * at a time, except `settle`.
 */
export interface GroupSession<AnyLink extends Link> {
  /** Prepares a new link, or the same one after a failure: creates the group if it is missing. */
  begin?(link: AnyLink): Promise<void>;
  /** Whether `flush` has something to do. */
  readonly hasWork: boolean;
  /** Sends settlements, and requests messages for the credit of the subscribers. */
  flush(link: AnyLink): Promise<void>;
  /** Called at the end of a turn with a change, if no flush is running. */
  turnEnded?(): void;
  /** Takes a settlement; `flush` sends it. Resolves to whether it counted. Called at any time. */
  settle(delivery: DriverDelivery, disposition: Disposition): Promise<boolean>;
  /** The credit has shrunk, or a subscriber pauses. */
  creditShrank?(): void;
  /** A `flush` has failed, or the connection is lost. Settlements wait for the next link. */
  interrupted?(error: unknown, kind: ErrorKind): void;
  /** Rejects the pending settlements with the error. Without an error, resolves them to `false`. */
  giveUp(error?: Error): void;
  /** Resolves when the engine has confirmed all settlements that were made before. */
  settled(): Promise<void>;
  /** Sends the last settlements, requeues what was prefetched, and leaves the group. */
  leave(link: AnyLink): Promise<void>;
  /** Stops its timers. */
  stop(): void;
}

/** Where a loop gets its links from. `Connection` is one. */
export type GroupConnection<AnyLink extends Link> = Pick<
  Connection<AnyLink>,
  'isReady' | 'link' | 'acquire' | 'drop' | 'onChange'
>;

/** The logs of a group. Several loops of one group may share them. */
export interface GroupReports {
  readonly refusals: Pick<Refusals, 'add' | 'end'> & Partial<Pick<Refusals, 'last'>>;
  readonly fatalErrors: Pick<FatalErrors, 'add' | 'end'>;
}

export interface GroupLoopOptions<AnyLink extends Link> {
  readonly queueName: string;
  readonly group: ConsumerGroup;
  readonly connection: GroupConnection<AnyLink>;
  readonly failures: EngineErrors;
  /** Where refusals and fatal errors are logged. Default: logs of this loop alone. */
  readonly reports?: GroupReports | undefined;
  readonly events?: QueueEvents | undefined;
  readonly logger: Logger;
  /** The longest delay of a `nack` that the engine accepts, in milliseconds. Default: any. */
  readonly longestDelay?: number | undefined;
  /** In milliseconds: after a failure, the group must resume earlier. Default: none. */
  readonly lease?: number | undefined;
  /**
   * Whether a fatal error of the group drops the link: the next subscriber connects again. Default:
   * true.
   */
  readonly dropsLink?: boolean | undefined;
  readonly createSession: (host: GroupHost) => GroupSession<AnyLink>;
}

/**
 * Runs the subscriptions of this process to one group. Every change wakes the loop. It flushes once
 * at the end of the turn, so that settlements of one turn are sent together. After a failure, it
 * backs off.
 */
export class GroupLoop<AnyLink extends Link> implements DriverConsumer, GroupHost {
  readonly inFlight: InFlight;
  readonly #options: GroupLoopOptions<AnyLink>;
  readonly #session: GroupSession<AnyLink>;
  readonly #reports: GroupReports;
  readonly #backoff: (error: unknown, failures: number) => number;
  readonly #stopListening: () => void;
  #link: AnyLink | undefined;
  #mustBegin = true;
  #scheduled: NodeJS.Immediate | undefined;
  #flushing: Promise<void> | undefined;
  #wokenMeanwhile = false;
  #pause: NodeJS.Timeout | undefined;
  /** Failures since the last flush that succeeded. */
  #failures = 0;
  /** The last error was fatal, and no subscriber has joined since. */
  #hasFailed = false;
  #closing = false;
  #stopped = false;

  constructor(options: GroupLoopOptions<AnyLink>) {
    this.#options = options;
    const { queueName, logger, longestDelay, lease, connection, createSession } = options;
    this.#reports = options.reports ?? reportsOf(options);
    this.#backoff = reconnectBackoff(lease);
    this.inFlight = new InFlight({
      queueName,
      logger,
      longestDelay,
      onChange: () => this.wake(),
      onFull: () => this.#creditShrank(),
      onCredit: () => this.#creditShrank(),
      settle: (delivery, disposition) => this.#session.settle(delivery, disposition),
    });
    this.#session = createSession(this);
    // After a fatal error, a new link wakes nothing: the next flush would fail, drop the link, and
    // cause another one.
    this.#stopListening = connection.onChange(() => this.#hasFailed || this.wake());
  }

  /** The last refusal. Undefined if the engine accepts the requests of the group. */
  get lastRefusal(): unknown {
    return this.#reports.refusals.last;
  }

  get isClosing(): boolean {
    return this.#closing;
  }

  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void {
    this.#hasFailed = false;
    this.inFlight.connect(subscriber, intake);
  }

  wake(): void {
    if (this.#flushing !== undefined) this.#wokenMeanwhile = true;
    else if (this.#scheduled === undefined && this.#pause === undefined && !this.#stopped) {
      this.#scheduled = setImmediate(() => {
        this.#scheduled = undefined;
        this.#session.turnEnded?.();
        // `leave` sends the last settlements.
        if (this.#session.hasWork && !this.#closing) this.#flush();
      });
    }
  }

  deliver(message: Message): boolean {
    if (this.#closing || this.inFlight.deliver(message) === undefined) return false;
    const { events, group } = this.#options;
    const { id, attempt } = message;
    if (attempt > 1 && events?.isObserved) events.emit({ type: 'redelivered', group, id, attempt });
    return true;
  }

  restart(): void {
    this.#mustBegin = true;
    this.wake();
  }

  quarantined(message: string, reason: string, place: string): void {
    const { group, events } = this.#options;
    events?.emit({ type: 'quarantined', group, message, reason, place });
  }

  failed(error: unknown, kind: ErrorKind = this.#options.failures.classify(error)): void {
    this.#session.interrupted?.(error, kind);
    if (this.#closing) return;
    if (kind === 'fatal') this.#end(error);
    else this.#backOff(error, kind);
  }

  settled(): Promise<void> {
    return this.#session.settled();
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.inFlight.end();
    this.#endPause();
    const { connection } = this.#options;
    // Without a connection, the flush would wait for one.
    if (connection.isReady) await this.#flushing;
    const { link } = connection;
    // If this fails, the connection is lost, and the leases expire.
    if (connection.isReady && link !== undefined && this.#link !== undefined) await this.#leave(link).catch(() => {});
    this.abandon();
  }

  abandon(): void {
    this.#closing = this.#stopped = true;
    clearImmediate(this.#scheduled);
    this.#endPause();
    this.#stopListening();
    this.#session.giveUp();
    this.#session.stop();
  }

  /**
   * The link may be one that no flush has used: the connection was lost while there was nothing to
   * send.
   */
  async #leave(link: AnyLink): Promise<void> {
    if (link !== this.#link) await this.#session.begin?.(link);
    await this.#session.leave(link);
  }

  #creditShrank(): void {
    this.#session.creditShrank?.();
    this.wake();
  }

  #flush(): void {
    this.#flushing = this.#flushOnce().then(() => {
      this.#flushing = undefined;
      if (this.#wokenMeanwhile) this.wake();
    });
  }

  async #flushOnce(): Promise<void> {
    const { connection } = this.#options;
    this.#wokenMeanwhile = false;
    try {
      const link = await connection.acquire();
      if (this.#stopped) return;
      if (link !== this.#link || this.#mustBegin) {
        this.#mustBegin = false;
        this.#link = link;
        await this.#session.begin?.(link);
      }
      await this.#session.flush(link);
      this.#failures = 0;
      this.#hasFailed = false;
      this.#reports.refusals.end();
      this.#reports.fatalErrors.end();
    } catch (error) {
      this.#mustBegin = true;
      this.failed(error);
    }
  }

  /** Ends the streams with a fatal error. The next subscriber tries again. */
  #end(error: unknown): void {
    const { connection, failures } = this.#options;
    this.#hasFailed = true;
    if (this.#options.dropsLink !== false) connection.drop(error);
    const explained = failures.explained(error);
    this.#session.giveUp(explained);
    if (this.inFlight.hasMembers) this.#reports.fatalErrors.add(explained);
    this.inFlight.end({ error: explained });
  }

  #backOff(error: unknown, kind: ErrorKind): void {
    this.#failures += 1;
    // A single refusal can be transient, for instance after the group was deleted.
    if (kind === 'refused' && this.#failures > 1) this.#reports.refusals.add(error);
    // A lost connection has a backoff of its own.
    const pause = this.#options.connection.isReady ? this.#backoff(undefined, this.#failures) : 0;
    this.#pause ??= setTimeout(() => {
      this.#pause = undefined;
      this.wake();
    }, pause);
  }

  #endPause(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
  }
}

type Names = Pick<GroupLoopOptions<Link>, 'queueName' | 'group' | 'failures' | 'logger'>;

function reportsOf({ queueName: queue, group, failures, logger }: Names): GroupReports {
  const requests = `requests of group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)}`;
  return {
    refusals: new Refusals({ engine: failures.engine, queue, group, requests, logger }),
    fatalErrors: new FatalErrors({ queue, group, logger }),
  };
}

import { BackendUnavailableError } from '../errors.js';
import type { CheckedMessage } from '../internal/check-message.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import type { Connection, Link } from './connection.js';
import { within } from './deadline.js';
import type { DriverPublisher } from './driver.js';
import type { EngineErrors } from './engine-errors.js';
import type { QueueEvents } from './events.js';
import { Outbox, type Pending } from './outbox.js';
import { Refusals } from './refusals.js';

/** Messages that are sent together. */
export interface Batch<Parcel> {
  /** From 1 up. A batch that is sent again has the same number and the same messages. */
  readonly number: number;
  readonly messages: readonly Pending<Parcel>[];
  /** The batch was sent before, and its confirm was lost: the engine may have stored it. */
  readonly isAgain: boolean;
}

/** Implements publishing on an engine: its commands and its wire format. */
export interface PublishDriver<AnyLink extends Link, Parcel> {
  /** How much may be unconfirmed: messages, and their size by `sizeOf`. One message always may. */
  readonly window: { readonly messages: number; readonly size: number };
  /**
   * `'batch'`: one batch at a time. A batch without a confirm is sent again unchanged.
   * `'pipeline'`: many batches at a time. After a lost link, every unconfirmed message is sent
   * again, in order.
   */
  readonly mode: 'batch' | 'pipeline';
  /**
   * Encodes a message.
   * @throws {InvalidMessageError} if the message is larger than the engine accepts
   */
  write(message: CheckedMessage): Parcel;
  sizeOf(parcel: Parcel): number;
  /** Prepares a new link, or the same link after a refusal. */
  begin?(link: AnyLink): Promise<void>;
  /** Whether a message may be sent now. If not, `prepare` comes first. Default: always. */
  isPrepared?(pending: Pending<Parcel>): boolean;
  /** Creates on the engine what the next message needs. A fatal error fails that message alone. */
  prepare?(link: AnyLink, pending: Pending<Parcel>): Promise<void>;
  /** Whether a message may be sent while others are not confirmed. Default: always. */
  mayFollow?(parcel: Parcel): boolean;
  /**
   * Whether the engine accepts no messages over this link for now. The driver calls `wake` when it
   * does again. Default: never.
   */
  isBlocked?(link: AnyLink): boolean;
  /**
   * Whether a refusal fails a batch immediately, instead of after `publishTimeout`. Default: no.
   */
  failsAtOnce?(error: unknown): boolean;
  /**
   * Sends a batch. In `'batch'` mode, resolves when the engine has confirmed it. In `'pipeline'`
   * mode, `confirm()` or `fail(error)` settles each message. `PublishLoop.restart` sends the others
   * again.
   */
  send(link: AnyLink, batch: Batch<Parcel>): Promise<void> | void;
}

export interface PublishLoopOptions<AnyLink extends Link, Parcel> {
  readonly queueName: string;
  readonly connection: Connection<AnyLink>;
  /** In milliseconds. */
  readonly publishTimeout: number;
  readonly maxPending: number;
  readonly failures: EngineErrors;
  readonly logger: Logger;
  readonly events?: QueueEvents | undefined;
  readonly driver: PublishDriver<AnyLink, Parcel>;
  /**
   * Returns why no message can be sent, given what the loop knows: a lost connection or a refusal.
   * Default: what the loop knows.
   */
  readonly lastError?: ((known: unknown) => unknown) | undefined;
}

const backoff = exponentialBackoff({ initial: 50, max: 2000, jitter: 0.5 });

/** Sends messages in order. Messages of one turn are sent together. */
export class PublishLoop<AnyLink extends Link, Parcel> implements DriverPublisher {
  readonly #options: PublishLoopOptions<AnyLink, Parcel>;
  readonly #outbox: Outbox<Parcel>;
  readonly #refusals: Refusals;
  #running = false;
  #closed = false;
  /** The unconfirmed batch, in `'batch'` mode. */
  #batch: Batch<Parcel> | undefined;
  #number = 0;
  #link: AnyLink | undefined;
  /** Why the link must be prepared again before the next message. */
  #restart: { readonly error: unknown } | undefined;
  /** Refusals since the last confirm. */
  #refused = 0;
  #wake: (() => void) | undefined;

  constructor(options: PublishLoopOptions<AnyLink, Parcel>) {
    this.#options = options;
    const { queueName, publishTimeout, maxPending, connection, failures, logger, events, driver } = options;
    const requests = `publishes to queue ${JSON.stringify(queueName)}`;
    this.#refusals = new Refusals({ engine: failures.engine, queue: queueName, requests, logger });
    this.#outbox = new Outbox({
      queueName,
      engine: failures.engine,
      publishTimeout,
      maxPending,
      onAdmitted: () => this.wake(),
      // The window has space for the next message, or no message is left.
      onSettled: () => this.#wake?.(),
      lastError: () => this.lastError,
      sizeOf: driver.sizeOf as (parcel: never) => number,
      events,
    });
    connection.onChange(() => this.#wake?.());
  }

  /** Why no message can be sent. Undefined if the reason is unknown. */
  get lastError(): unknown {
    const { connection, lastError } = this.#options;
    const known = connection.lastError ?? this.#refusals.last;
    return lastError === undefined ? known : lastError(known);
  }

  get isEmpty(): boolean {
    return this.#outbox.isEmpty;
  }

  publish(message: CheckedMessage): Promise<void> {
    return this.send(this.#options.driver.write(message), message.signal);
  }

  /**
   * Sends an encoded message, such as the copy of a delayed one. Resolves when the engine has
   * confirmed it.
   */
  send(parcel: Parcel, signal?: AbortSignal): Promise<void> {
    const confirmed = this.#outbox.add(parcel, signal);
    this.wake();
    return confirmed;
  }

  /** Sends messages at the end of this turn, as many as the window allows. */
  wake(): void {
    this.#wake?.();
    if (this.#running || !this.#hasWork) return;
    this.#running = true;
    setImmediate(() => void this.#run());
  }

  /** Sends every unconfirmed message again, after a backoff if the engine refused one. */
  restart(error: unknown): void {
    this.#restart ??= { error };
    this.#wake?.();
  }

  accepted(): void {
    this.#refused = 0;
    this.#refusals.end();
  }

  /** Fails the unconfirmed messages that the engine turned out not to accept. */
  failWhere(fails: (parcel: Parcel) => Error | undefined): void {
    this.#outbox.putBack();
    for (const pending of [...this.#outbox.waiting]) {
      const error = fails(pending.parcel);
      if (error !== undefined) pending.fail(error);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#wake?.();
    if (this.#options.connection.mayRecover) await this.#outbox.emptied();
    this.abandon();
  }

  abandon(): void {
    this.#closed = true;
    this.#outbox.abandon();
    this.#batch = undefined;
    this.#wake?.();
  }

  get #hasWork(): boolean {
    return this.#batch !== undefined || !this.#outbox.isEmpty;
  }

  async #run(): Promise<void> {
    const { connection } = this.#options;
    while (this.#hasWork && !(this.#closed && !connection.mayRecover)) {
      try {
        const link = await connection.acquire();
        if (!this.#hasWork) break;
        // While the loop begins or backs off, another link may take the place of this one: it
        // acquires again.
        if (link !== this.#link || this.#restart !== undefined) await this.#begin(link);
        else await this.#send(link);
      } catch (error) {
        await this.#failed(error);
      }
    }
    if (this.#closed) this.abandon();
    this.#running = false;
  }

  /** Prepares a new link, or the same link after a refusal. Unconfirmed messages are sent again. */
  async #begin(link: AnyLink): Promise<void> {
    const { driver } = this.#options;
    const restart = this.#restart;
    this.#restart = undefined;
    if (driver.mode === 'pipeline') this.#outbox.putBack();
    if (restart !== undefined) await this.#backOff(restart.error);
    await driver.begin?.(link);
    this.#link = link;
  }

  async #send(link: AnyLink): Promise<void> {
    const { driver } = this.#options;
    if (driver.mode === 'batch') {
      this.#batch ??= this.#nextBatch(link);
      if (this.#batch === undefined) return this.#sleep();
      const { messages } = this.#batch;
      await driver.send(link, this.#batch);
      this.#batch = undefined;
      for (const pending of messages) pending.confirm();
      this.accepted();
      return;
    }
    for (let batch = this.#nextBatch(link); batch !== undefined; batch = this.#nextBatch(link))
      void driver.send(link, batch);
    const next = this.#outbox.waiting[0];
    if (next === undefined || !this.#fits(link, next, 0) || (driver.isPrepared?.(next) ?? true)) return this.#sleep();
    try {
      await driver.prepare?.(link, next);
    } catch (error) {
      if (this.#options.failures.classify(error) !== 'fatal') throw error;
      next.fail(this.#options.failures.explained(error));
    }
  }

  /**
   * Waits until the end of a turn in which a message is published or confirmed, or the connection
   * changes.
   */
  async #sleep(): Promise<void> {
    if (this.#outbox.isEmpty || this.#restart !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#wake = () => {
        this.#wake = undefined;
        setImmediate(resolve);
      };
    });
  }

  /** The messages that may be sent now. */
  #nextBatch(link: AnyLink): Batch<Parcel> | undefined {
    const { driver } = this.#options;
    let count = 0;
    let size = 0;
    for (const pending of this.#outbox.waiting) {
      if (!this.#fits(link, pending, count, size) || !(driver.isPrepared?.(pending) ?? true)) break;
      size += driver.sizeOf(pending.parcel);
      count += 1;
    }
    if (count === 0) return undefined;
    return { number: ++this.#number, messages: this.#outbox.take(count), isAgain: false };
  }

  #fits(link: AnyLink, { parcel }: Pending<Parcel>, count: number, size = 0): boolean {
    const { driver } = this.#options;
    if (driver.isBlocked?.(link)) return false;
    const before = this.#outbox.sentCount + count;
    if (before === 0) return true;
    if (before >= driver.window.messages) return false;
    if (this.#outbox.sentSize + size + driver.sizeOf(parcel) > driver.window.size) return false;
    return driver.mayFollow?.(parcel) ?? true;
  }

  async #failed(error: unknown): Promise<void> {
    const { connection, failures, driver } = this.#options;
    if (this.#closed && !connection.isReady) return this.abandon();
    const kind = failures.classify(error);
    if (kind === 'fatal') {
      connection.drop(error);
      this.#refuse(error);
    } else if (kind === 'refused') {
      if (driver.failsAtOnce?.(error)) this.#refuse(error);
      else if (driver.mode === 'batch') await this.#backOff(error);
      else this.#restart ??= { error };
    } else if (this.#batch !== undefined) this.#batch = { ...this.#batch, isAgain: true };
    else this.#restart ??= { error };
  }

  async #backOff(error: unknown): Promise<void> {
    const { failures } = this.#options;
    this.#refused += 1;
    if (failures.classify(error) === 'refused') this.#refusals.add(error);
    const woken = new Promise<void>((resolve) => {
      // Only `abandon` ends the backoff early: a publish does not.
      this.#wake = () => this.#hasWork || resolve();
    });
    await within(backoff(undefined, this.#refused), woken);
    this.#wake = undefined;
  }

  /** Fails the unconfirmed messages with an error that no second attempt can avoid. */
  #refuse(error: unknown): void {
    const explained = this.#options.failures.explained(error);
    const batch = this.#batch;
    this.#batch = undefined;
    if (batch === undefined) {
      this.#outbox.refuse(explained);
      return;
    }
    const reason = batch.isAgain
      ? new BackendUnavailableError(`${explained.message}: it may have been enqueued`, {
          cause: error,
          retryable: false,
        })
      : explained;
    for (const pending of batch.messages) pending.fail(reason);
  }
}

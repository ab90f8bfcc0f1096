import { onAbort } from '../internal/on-abort.js';
import { withDeadline } from './deadline.js';
import { Disconnection } from './disconnection.js';
import { ConnectionLostError, type ErrorKind, FatalError } from './engine-errors.js';
import { type ConnectionReporter, QueueEvents } from './events.js';
import type { OutageOptions } from './outages.js';
import { reconnectBackoff } from './reconnect-backoff.js';

/** One connection of a client, or one channel of it. A lost link is replaced by a new one. */
export interface Link {
  connect(): Promise<void>;
  /** Closes it immediately, in any state. */
  destroy(): void;
}

export interface ConnectionOptions<AnyLink extends Link> extends OutageOptions {
  /** Where the connection reports its state. Default: events of its own, which are only logged. */
  readonly events?: QueueEvents | undefined;
  /** The name of the engine in messages, such as `Redis`. */
  readonly engine: string;
  /**
   * Creates a link, which does not reconnect by itself. The link calls `lost` when it breaks, and
   * when it knows a better reason than the error of its methods.
   */
  readonly createLink: (lost: (cause: unknown) => void) => AnyLink;
  /** Prepares each new link before it is used. */
  readonly prepare?: ((link: AnyLink) => Promise<void>) | undefined;
  /** The deadline of an attempt to connect, in milliseconds. */
  readonly connectTimeout: number;
  /** In milliseconds: after an outage, the connection must return earlier. Default: none. */
  readonly lease?: number | undefined;
  readonly classify: (error: unknown) => ErrorKind;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly ignoreAbort: () => void;
}

/** How long a link must last to count as stable, in milliseconds. */
const STABLE = 5000;

/**
 * A connection that reconnects. It connects on first use, and again whenever it is lost, until it
 * is closed.
 */
export class Connection<AnyLink extends Link> {
  readonly #options: ConnectionOptions<AnyLink>;
  #phase: 'idle' | 'connecting' | 'ready' | 'closed' = 'idle';
  #link: AnyLink | undefined;
  readonly #waiters = new Set<Waiter>();
  #pause: NodeJS.Timeout | undefined;
  /** Rejects pending calls on `close()`, even if a link never settles them. */
  readonly #closed = new Disconnection();
  #lastError: unknown;
  readonly #report: ConnectionReporter;
  readonly #listeners = new Set<() => void>();
  #readyAt = 0;
  /** How many links in a row were lost before they were stable. */
  #relapses = 0;
  readonly #backoff: (error: unknown, failures: number) => number;

  constructor(options: ConnectionOptions<AnyLink>) {
    this.#options = options;
    this.#report = (options.events ?? new QueueEvents(options)).addConnection(options);
    this.#backoff = reconnectBackoff(options.lease);
  }

  get isReady(): boolean {
    return this.#phase === 'ready';
  }

  /**
   * Whether pending calls may succeed soon: there is a connection, or no attempt has failed yet.
   */
  get mayRecover(): boolean {
    return this.isReady || (this.#phase !== 'closed' && this.#lastError === undefined);
  }

  /** The current link, also while it is prepared. */
  get link(): AnyLink | undefined {
    return this.#link;
  }

  /** Why there is no connection. Undefined if there is one, or if the reason is unknown. */
  get lastError(): unknown {
    return this.isReady ? undefined : this.#lastError;
  }

  /**
   * Resolves when there is a connection, and connects if necessary. Rejects when the connection is
   * closed, when the signal aborts, and with a fatal error. After a fatal error, the next call
   * connects again.
   */
  ready(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#phase === 'ready') return Promise.resolve();
    if (this.#phase === 'closed') return Promise.reject(new ConnectionLostError('The connection was closed'));
    return new Promise((resolve, reject) => {
      // An aborted call must not leak, however long the outage lasts.
      const ignoreAbort = onAbort(signal, () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      });
      const waiter = { resolve, reject, ignoreAbort };
      this.#waiters.add(waiter);
      if (this.#phase === 'idle') void this.#connect(1);
    });
  }

  /**
   * Calls back when a link is ready, lost or dropped. Returns a function that removes the listener.
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Returns the link when it is ready. Rejects as `ready()` does. */
  async acquire(signal?: AbortSignal): Promise<AnyLink> {
    for (;;) {
      await this.ready(signal);
      if (this.#phase === 'ready' && this.#link !== undefined) return this.#link;
    }
  }

  /**
   * Sends a request, and repeats it over the next link if the link is lost. Rejects with the reason
   * of the signal when it aborts, and with an error that is not retryable.
   */
  async request<Value>(signal: AbortSignal, send: (link: AnyLink) => Promise<Value>): Promise<Value> {
    for (;;) {
      const link = await this.acquire(signal);
      try {
        return await send(link);
      } catch (error) {
        if (error === signal.reason || this.#phase === 'closed' || this.#options.classify(error) !== 'retryable')
          throw error;
        // Repeated over the same link, a request that fails immediately would starve the event
        // loop.
        this.lose(link, error);
      }
    }
  }

  /** Drops a broken link and reconnects. Does nothing if it is not the current link. */
  lose(link: AnyLink, cause: unknown): void {
    if (this.#link !== link || this.#phase !== 'ready') return;
    this.#link = undefined;
    this.#phase = 'connecting';
    this.#lastError = cause;
    link.destroy();
    this.#report.lost(cause);
    this.#changed();
    if (this.#isClosed) return;
    this.#relapses = performance.now() - this.#readyAt < STABLE ? this.#relapses + 1 : 0;
    // Back off: a request that breaks every link must not reconnect a hundred times a second.
    if (this.#relapses > 1) this.#connectLater(2, this.#relapses - 1);
    else void this.#connect(2);
  }

  /** Drops the current link and reconnects. */
  renew(cause: unknown): void {
    if (this.#link !== undefined) this.lose(this.#link, cause);
  }

  /** Drops the current link. The next call that needs a connection makes a new one. */
  drop(cause: unknown): void {
    const link = this.#link;
    if (link === undefined || this.#phase !== 'ready') return;
    this.#link = undefined;
    this.#phase = 'idle';
    this.#lastError = cause;
    link.destroy();
    this.#report.left();
    this.#changed();
  }

  /** Closes the connection, and rejects all pending calls. */
  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#report.closed();
    clearTimeout(this.#pause);
    this.#link?.destroy();
    this.#link = undefined;
    this.#closed.come(new ConnectionLostError('The connection was closed'));
    this.#settleWaiters(({ reject }) => reject(new ConnectionLostError('The connection was closed')));
  }

  /** Whoever gets a report may close the connection at once. */
  get #isClosed(): boolean {
    return this.#phase === 'closed';
  }

  async #connect(attempt: number): Promise<void> {
    const { createLink, connectTimeout, engine } = this.#options;
    this.#phase = 'connecting';
    this.#report.connecting();
    if (this.#isClosed) return;
    // A client reports a failure twice. Its event has the better reason.
    let reason: unknown;
    let link: AnyLink;
    try {
      link = createLink((cause) => {
        reason ??= cause;
        this.lose(link, cause);
      });
    } catch (error) {
      this.#phase = 'idle';
      this.#report.left();
      this.#settleWaiters(({ reject }) => reject(new FatalError('The client could not be created', { cause: error })));
      return;
    }
    this.#link = link;
    try {
      const late = () => new Error(`${engine} did not answer in time`);
      await withDeadline(this.#closed.before(this.#establish(link)), connectTimeout, late);
      // The link may break without failing any of its calls.
      if (reason !== undefined) throw reason;
    } catch (error) {
      link.destroy();
      if (this.#link === link) this.#failed(reason ?? error, attempt);
      return;
    }
    if (this.#link !== link) return;
    this.#phase = 'ready';
    this.#readyAt = performance.now();
    this.#report.connected();
    this.#settleWaiters(({ resolve }) => resolve());
    this.#changed();
  }

  async #establish(link: AnyLink): Promise<void> {
    await link.connect();
    if (this.#link === link) return this.#options.prepare?.(link);
    // Not every client can be stopped while it connects.
    link.destroy();
  }

  #failed(error: unknown, attempt: number): void {
    if (this.#phase === 'closed') return;
    this.#link = undefined;
    this.#lastError = error;
    const kind = this.#options.classify(error);
    if (kind === 'fatal') {
      this.#phase = 'idle';
      this.#report.left();
      this.#settleWaiters(({ reject }) => reject(error));
      return;
    }
    this.#report.failed(error, kind === 'refused');
    if (this.#isClosed) return;
    this.#connectLater(attempt + 1, attempt);
  }

  #connectLater(attempt: number, failures: number): void {
    this.#phase = 'connecting';
    this.#pause = setTimeout(() => void this.#connect(attempt), this.#backoff(undefined, failures));
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #settleWaiters(settle: (waiter: Waiter) => void): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) {
      waiter.ignoreAbort();
      settle(waiter);
    }
  }
}

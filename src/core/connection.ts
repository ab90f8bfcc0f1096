import { exponentialBackoff } from '../internal/exponential-backoff.js';
import { onAbort } from '../internal/on-abort.js';
import { withDeadline } from './deadline.js';
import { Disconnection } from './disconnection.js';
import { ConnectionLostError, type ErrorKind, FatalError } from './engine-errors.js';
import { type ConnectionReporter, QueueEvents } from './events.js';
import type { OutageOptions } from './outages.js';

/** One connection of a client, or a channel of one: it is made, it breaks, and another takes its place. */
export interface Link {
  connect(): Promise<void>;
  /** Lets go of it at once, in any state. */
  destroy(): void;
}

export interface ConnectionOptions<AnyLink extends Link> extends OutageOptions {
  /** Where the connection reports its state. Default: events of its own, which are only logged. */
  readonly events?: QueueEvents | undefined;
  /** What the broker is called in messages. */
  readonly broker: string;
  /** A new link, which does not reconnect by itself. It calls `lost` when it breaks, and whenever it knows a better reason than what its methods reject with. */
  readonly createLink: (lost: (cause: unknown) => void) => AnyLink;
  /** Called with each new link before anybody else may use it. */
  readonly prepare?: ((link: AnyLink) => Promise<void>) | undefined;
  /** How long connecting may take, in milliseconds. */
  readonly connectTimeout: number;
  /** The longest pause between two attempts to connect, in milliseconds. Default: 5,000. */
  readonly maxBackoff?: number | undefined;
  readonly classify: (error: unknown) => ErrorKind;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly ignoreAbort: () => void;
}

/** A link that lasted for as long, in milliseconds, is none that breaks by what it is used for. */
const STABLE = 5000;

/** A connection that heals: it connects when it is needed first, and again whenever it is lost, until it is closed. */
export class Connection<AnyLink extends Link> {
  readonly #options: ConnectionOptions<AnyLink>;
  #phase: 'idle' | 'connecting' | 'ready' | 'closed' = 'idle';
  #link: AnyLink | undefined;
  readonly #waiters = new Set<Waiter>();
  #pause: NodeJS.Timeout | undefined;
  /** Comes with `close()`, also for a link that never settles what it was asked for. */
  readonly #closed = new Disconnection();
  #lastError: unknown;
  readonly #report: ConnectionReporter;
  readonly #listeners = new Set<() => void>();
  #readyAt = 0;
  /** How many links were lost one after the other that did not last. */
  #relapses = 0;
  readonly #backoff: (error: unknown, failures: number) => number;

  constructor(options: ConnectionOptions<AnyLink>) {
    this.#options = options;
    this.#report = (options.events ?? new QueueEvents(options)).addConnection(options);
    this.#backoff = exponentialBackoff({ initial: 50, max: options.maxBackoff ?? 5000, jitter: 0.5 });
  }

  get isReady(): boolean {
    return this.#phase === 'ready';
  }

  /** Whether what waits for it may soon go on: there is a connection, or nothing yet speaks against one. */
  get mayRecover(): boolean {
    return this.isReady || (this.#phase !== 'closed' && this.#lastError === undefined);
  }

  /** The link of now, also while it is being prepared. */
  get link(): AnyLink | undefined {
    return this.#link;
  }

  /** Why there is no connection, as far as that is known. */
  get lastError(): unknown {
    return this.isReady ? undefined : this.#lastError;
  }

  /**
   * Resolves once there is a connection; connects if nobody did. Rejects when it is closed, and with the error that no second attempt mends: the next call
   * then tries again. Rejects with the reason of the signal when that aborts, or has aborted.
   */
  ready(signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#phase === 'ready') return Promise.resolve();
    if (this.#phase === 'closed') return Promise.reject(new ConnectionLostError('The connection was closed'));
    return new Promise((resolve, reject) => {
      // Whoever gives up leaves nothing behind, however long there is no connection.
      const ignoreAbort = onAbort(signal, () => {
        this.#waiters.delete(waiter);
        reject(signal?.reason);
      });
      const waiter = { resolve, reject, ignoreAbort };
      this.#waiters.add(waiter);
      if (this.#phase === 'idle') void this.#connect(1);
    });
  }

  /** Calls back when a link is ready, and when one is lost or dropped. Returns a function that stops that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The link, once there is one that is ready. Rejects as `ready()` does. */
  async acquire(signal?: AbortSignal): Promise<AnyLink> {
    for (;;) {
      await this.ready(signal);
      if (this.#phase === 'ready' && this.#link !== undefined) return this.#link;
    }
  }

  /**
   * Sends a request, again over the next link when the link is lost meanwhile. Rejects with the reason of the signal when it aborts, and
   * with any error that is not retryable.
   */
  async request<Value>(signal: AbortSignal, send: (link: AnyLink) => Promise<Value>): Promise<Value> {
    for (;;) {
      const link = await this.acquire(signal);
      try {
        return await send(link);
      } catch (error) {
        if (error === signal.reason || this.#phase === 'closed' || this.#options.classify(error) !== 'retryable')
          throw error;
        // A request that fails again at once would starve the event loop over the same link.
        this.lose(link, error);
      }
    }
  }

  /** Drops a link that does not work any more, and connects anew. Does nothing if it is not the link of now. */
  lose(link: AnyLink, cause: unknown): void {
    if (this.#link !== link || this.#phase !== 'ready') return;
    this.#link = undefined;
    this.#lastError = cause;
    link.destroy();
    this.#report.lost(cause);
    this.#changed();
    this.#relapses = performance.now() - this.#readyAt < STABLE ? this.#relapses + 1 : 0;
    // What breaks each link is not to be sent over a hundred a second.
    if (this.#relapses > 1) this.#connectLater(2, this.#relapses - 1);
    else void this.#connect(2);
  }

  /** Drops the link of now, and connects anew. */
  renew(cause: unknown): void {
    if (this.#link !== undefined) this.lose(this.#link, cause);
  }

  /** Drops the link of now. The next call that needs a connection makes a new one. */
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

  /** Ends it, and whatever waits for it. */
  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    this.#report.closed();
    clearTimeout(this.#pause);
    this.#link?.destroy();
    this.#link = undefined;
    this.#closed.come(new ConnectionLostError('The connection was closed'));
    this.#tell(({ reject }) => reject(new ConnectionLostError('The connection was closed')));
  }

  async #connect(attempt: number): Promise<void> {
    const { createLink, connectTimeout, broker } = this.#options;
    this.#phase = 'connecting';
    this.#report.connecting();
    // A client that fails says so in two ways, and its event has the better reason.
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
      this.#tell(({ reject }) => reject(new FatalError('The client cannot be made', { cause: error })));
      return;
    }
    this.#link = link;
    try {
      const late = () => new Error(`${broker} did not answer in time`);
      await withDeadline(this.#closed.before(this.#establish(link)), connectTimeout, late);
      // It may have broken without any call of it failing.
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
    this.#tell(({ resolve }) => resolve());
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
      this.#tell(({ reject }) => reject(error));
      return;
    }
    this.#report.failed(error, kind === 'refused');
    this.#connectLater(attempt + 1, attempt);
  }

  #connectLater(attempt: number, failures: number): void {
    this.#phase = 'connecting';
    this.#pause = setTimeout(() => void this.#connect(attempt), this.#backoff(undefined, failures));
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }

  #tell(how: (waiter: Waiter) => void): void {
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) {
      waiter.ignoreAbort();
      how(waiter);
    }
  }
}

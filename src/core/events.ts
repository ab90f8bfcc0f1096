import { type Observable, ReplaySubject, Subject } from 'rxjs';
import type { ConsumerGroup, QueueStatus } from '../backend.js';
import { Emissions } from '../internal/emissions.js';
import type { Logger } from '../internal/logger.js';
import { type OutageOptions, Outages } from './outages.js';

/** An event of a queue on an engine, for `status$`, the log and metrics. */
export type QueueEvent =
  | { readonly type: 'connecting' | 'connected'; readonly connection: string }
  | { readonly type: 'disconnected'; readonly connection: string; readonly error: unknown }
  | { readonly type: 'publish confirmed' }
  | { readonly type: 'publish failed'; readonly error: unknown }
  | { readonly type: 'redelivered'; readonly group: ConsumerGroup; readonly id: string; readonly attempt: number }
  | Quarantined;

export interface Quarantined {
  readonly type: 'quarantined';
  readonly group: ConsumerGroup;
  readonly message: string;
  /** Why, such as `is invalid: its "payload" is not JSON`. */
  readonly reason: string;
  /** Where the message is now, such as `the hash "orders:{orders}:aside"`. */
  readonly place: string;
}

/** Reports the state of one connection. */
export interface ConnectionReporter {
  connecting(): void;
  connected(): void;
  /** The connection was lost. It reconnects. */
  lost(error: unknown): void;
  /** An attempt to connect failed, and another follows. */
  failed(error: unknown, refused: boolean): void;
  /** The connection was dropped. The next request connects. */
  left(): void;
  closed(): void;
}

type ConnectionState = Exclude<QueueStatus, 'closed'>;

/**
 * From the most to the least important. The status of a queue is the first of these that one of its
 * connections has.
 */
const BY_IMPORTANCE: readonly ConnectionState[] = ['disconnected', 'connected', 'connecting', 'idle'];

/** The events of one queue on an engine: the source of the log and of `status$`. */
export class QueueEvents {
  readonly #events = new Subject<QueueEvent>();
  // A late subscriber gets `'closed'`, then the completion.
  readonly #statuses = new ReplaySubject<QueueStatus>(1);
  readonly #connections = new Map<object, ConnectionState>();
  readonly #queue: string;
  readonly #logger: Logger;
  #status: QueueStatus = 'idle';
  readonly #emissions = new Emissions();

  constructor({ queue, logger }: { readonly queue: string; readonly logger: Logger }) {
    this.#queue = queue;
    this.#logger = logger;
    this.#statuses.next('idle');
  }

  get events$(): Observable<QueueEvent> {
    return this.#events.asObservable();
  }

  /** Emits the current status first, then every change. Completes after `'closed'`. */
  get status$(): Observable<QueueStatus> {
    return this.#statuses.asObservable();
  }

  /**
   * Whether an event of a single message has a subscriber. Hot paths ask before they create one.
   */
  get isObserved(): boolean {
    return this.#events.observed;
  }

  emit(event: QueueEvent): void {
    if (event.type === 'quarantined') this.#logQuarantine(event);
    this.#events.next(event);
  }

  /**
   * Adds a connection. Logs its outages, together with those of other connections to the server.
   */
  addConnection(options: Pick<OutageOptions, 'server' | 'connection'>): ConnectionReporter {
    const outages = new Outages({ ...options, queue: this.#queue, logger: this.#logger });
    const { connection } = options;
    const key = {};
    return {
      connecting: () => {
        // An attempt to reconnect does not end the outage.
        if (this.#connections.get(key) !== 'disconnected') this.#set(key, 'connecting');
        this.#events.next({ type: 'connecting', connection });
      },
      connected: () => {
        outages.connected();
        this.#set(key, 'connected');
        this.#events.next({ type: 'connected', connection });
      },
      lost: (error) => {
        outages.lost(error);
        this.#disconnected(key, connection, error);
      },
      failed: (error, refused) => {
        outages.failed(error, refused);
        this.#disconnected(key, connection, error);
      },
      left: () => {
        outages.left();
        this.#set(key, 'idle');
      },
      closed: () => {
        outages.closed();
        this.#connections.delete(key);
        this.#update();
      },
    };
  }

  close(): void {
    if (this.#status === 'closed') return;
    this.#setStatus('closed');
    this.#events.complete();
  }

  #disconnected(key: object, connection: string, error: unknown): void {
    this.#set(key, 'disconnected');
    this.#events.next({ type: 'disconnected', connection, error });
  }

  #set(key: object, state: ConnectionState): void {
    this.#connections.set(key, state);
    this.#update();
  }

  #update(): void {
    const states = new Set(this.#connections.values());
    const status = BY_IMPORTANCE.find((state) => states.has(state)) ?? 'idle';
    // Only a queue that nothing has used is idle.
    this.#setStatus(status === 'idle' && this.#status !== 'idle' ? 'disconnected' : status);
  }

  #setStatus(status: QueueStatus): void {
    if (status === this.#status || this.#status === 'closed') return;
    this.#status = status;
    // A subscriber may cause the next change.
    this.#emissions.emit(() => {
      this.#statuses.next(status);
      if (status === 'closed') this.#statuses.complete();
    });
  }

  #logQuarantine({ group, message, reason, place }: Quarantined): void {
    this.#logger.error(`${message} ${reason}. It is in quarantine, in ${place}.`, { queue: this.#queue, group });
  }
}

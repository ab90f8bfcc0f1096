import type { SchedulerLike, Subscription } from 'rxjs';
import type { EntryBuffer } from './entry-buffer.js';
import type { Group } from './group.js';

/**
 * How many consumers may join within one run before the rest waits for a macrotask: a pipeline
 * under `retry()` may never stop.
 */
const MAX_JOINS = 32_768;

/**
 * How many messages may enter within one run before the rest waits for a macrotask: each may
 * publish the next, without an end.
 */
const MAX_ENTRIES = 2 ** 21;

/**
 * How many consumers in a row may subscribe and leave within one call before the next one waits for
 * a macrotask.
 */
const MAX_SYNC_RESUBSCRIBES = 256;

/** The queue whose messages are delivered. */
export interface DispatchingQueue {
  /** Admits waiting publishes while there is room for them. */
  admitPending(): void;
  /** Reports an error that a consumer's code threw past RxJS. */
  failed(error: unknown): void;
  /** No message can be delivered any more. */
  atRest(): void;
}

/**
 * Delivers messages to consumers while a message is ready and a consumer can take it.
 *
 * Consumers' code runs from here. What it does to the queue takes effect at once, except
 * deliveries: the running loop makes them. So the stack never grows, whatever a consumer does
 * inside `next`.
 */
export class Dispatcher {
  readonly #buffer: EntryBuffer;
  readonly #scheduler: SchedulerLike;
  readonly #queue: DispatchingQueue;
  #running = false;
  #joins = 0;
  #entries = 0;
  #syncResubscribes = 0;
  #later: Subscription | undefined;

  constructor(buffer: EntryBuffer, scheduler: SchedulerLike, queue: DispatchingQueue) {
    this.#buffer = buffer;
    this.#scheduler = scheduler;
    this.#queue = queue;
  }

  /** Whether a consumer is being served, further up the stack. */
  get running(): boolean {
    return this.#running;
  }

  consumerJoined(): void {
    this.#joins++;
  }

  messageEntered(): void {
    this.#entries++;
  }

  /** Cancels the run that waits for a macrotask. */
  cancel(): void {
    this.#later?.unsubscribe();
    this.#later = undefined;
  }

  serve(): void {
    if (this.#running) return;
    this.#running = true;
    this.#joins = this.#entries = 0;
    try {
      const { onlyGroup } = this.#buffer;
      if (onlyGroup === undefined) while (this.#serveRound() && !this.#isEndless());
      else while (this.#serveGroup(onlyGroup) && !this.#isEndless());
    } finally {
      this.#running = false;
    }
    this.#queue.atRest();
  }

  /**
   * Serves a consumer that has just subscribed. If it leaves within the call, it may be an operator
   * like `retry`, which subscribes again inside its subscribe call, deeper each time. After some
   * rounds, a macrotask serves the next one.
   */
  serveNewcomer(hasLeft: () => boolean): void {
    if (this.#syncResubscribes >= MAX_SYNC_RESUBSCRIBES) {
      this.#serveLater();
      return;
    }
    this.serve();
    if (!hasLeft() || this.#syncResubscribes++ > 0) return;
    void Promise.resolve().then(() => {
      this.#syncResubscribes = 0;
    });
  }

  /** Delivers at most one message for each group. Returns whether it delivered one. */
  #serveRound(): boolean {
    let served = false;
    for (const group of this.#buffer.groups) {
      if (this.#serveGroup(group)) served = true;
    }
    return served;
  }

  /**
   * Delivers one message if the group has a ready message and a ready consumer. Returns whether it
   * did.
   */
  #serveGroup(group: Group): boolean {
    this.#queue.admitPending();
    const consumer = group.readyConsumers.first;
    if (consumer === undefined || group.ready === 0) return false;
    group.readyConsumers.remove(consumer);
    try {
      group.deliverTo(consumer);
    } catch (error) {
      this.#queue.failed(error);
    }
    return true;
  }

  /** Whether this run may have no end. If so, the rest waits. */
  #isEndless(): boolean {
    const endless = this.#joins > MAX_JOINS || this.#entries > MAX_ENTRIES;
    if (endless) this.#serveLater();
    return endless;
  }

  #serveLater(): void {
    this.#later ??= this.#scheduler.schedule(() => {
      this.#later = undefined;
      this.serve();
    }, 0);
  }
}

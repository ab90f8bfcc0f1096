import { Observable, ReplaySubject, Subject } from 'rxjs';
import type { QueueStatus } from '../backend.js';
import { inContext } from '../internal/async-context.js';
import type { Emissions } from '../internal/emissions.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';

/**
 * Emits the status of a queue and its number of unfinished messages, and waits until there are
 * none.
 */
export class Watch {
  readonly status$: Observable<QueueStatus>;
  readonly unfinished$: Observable<number>;
  readonly #unfinished: () => number;
  readonly #emissions: Emissions;
  // A late subscriber still gets `'closed'`, then the completion.
  readonly #statuses = new ReplaySubject<QueueStatus>(1);
  readonly #counts = new Subject<number>();
  readonly #joiners = new Set<() => void>();
  #idle = true;
  #countWatchers = 0;
  /**
   * The last queued count, and the last emitted one. Both are kept up only while `unfinished$` has
   * subscribers.
   */
  #queued = 0;
  #emitted = 0;

  constructor(unfinished: () => number, emissions: Emissions) {
    this.#unfinished = unfinished;
    this.#emissions = emissions;
    this.#statuses.next('idle');
    this.status$ = new Observable((subscriber) => this.#statuses.subscribe(inContext(subscriber)));
    this.unfinished$ = new Observable((observer) => {
      const subscriber = inContext(observer);
      // Other subscribers may still get changes that are counted already. This one starts with the
      // count that they got last.
      const current = this.#countWatchers > 0 ? this.#emitted : unfinished();
      if (this.#countWatchers === 0) this.#queued = this.#emitted = current;
      this.#countWatchers++;
      subscriber.add(() => this.#countWatchers--);
      const join = () => {
        subscriber.next(current);
        this.#counts.subscribe(subscriber);
      };
      if (emissions.running) join();
      else emissions.emit(join);
    });
  }

  /**
   * Whether a change of the count has an effect here. While not, `countChanged` need not be called.
   */
  get observed(): boolean {
    return this.#countWatchers > 0 || this.#joiners.size > 0;
  }

  /** Notes a use of the queue: with the first one, it is connected. */
  used(): void {
    if (this.#idle) this.#setStatus('connected');
  }

  /** Compares the number of unfinished messages with the last one. */
  countChanged(): void {
    const unfinished = this.#unfinished();
    if (unfinished === 0 && this.#joiners.size > 0) {
      for (const finish of [...this.#joiners]) finish();
    }
    if (this.#countWatchers === 0 || unfinished === this.#queued) return;
    this.#queued = unfinished;
    this.#emissions.emit(() => {
      this.#emitted = unfinished;
      this.#counts.next(unfinished);
    });
  }

  /**
   * Resolves when nothing is unfinished. Rejects with `signal.reason` if the signal aborts first.
   */
  join(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#unfinished() === 0) return turn.done();
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.#joiners.delete(finish);
        ignoreAbort();
      };
      const finish = () => {
        leave();
        turn.resolve(resolve, undefined);
      };
      const ignoreAbort = onAbort(signal, () => {
        leave();
        reject(signal?.reason);
      });
      this.#joiners.add(finish);
    });
  }

  /** The queue is closed. */
  closed(): void {
    this.#setStatus('closed');
    this.#emissions.emit(() => this.#statuses.complete());
  }

  /** The queue is closed, and nothing is unfinished. */
  finished(): void {
    this.#emissions.emit(() => this.#counts.complete());
  }

  #setStatus(status: QueueStatus): void {
    this.#idle = false;
    this.#emissions.emit(() => this.#statuses.next(status));
  }
}

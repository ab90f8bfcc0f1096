import type { SchedulerLike, Subscription } from 'rxjs';
import type { Group } from './group.js';
import type { Groups } from './groups.js';

/** How many consumers may join within one run of serving before the rest of it waits for a macrotask: a pipeline under `retry()` may never stop. */
const MAX_JOINS = 32_768;

/** How many messages may enter within one run of serving before the rest of it waits for a macrotask: each may lead to the next, without an end. */
const MAX_ENTRIES = 2 ** 21;

/** How often consumers may leave within the call in which they subscribed, one after the other, before the next one waits for a macrotask. */
const MAX_BOUNCES = 256;

export interface DispatcherHooks {
  /** Lets waiting publishes in, as far as there is room for them. */
  readonly admit: () => void;
  /** The code of a consumer failed where RxJS lets it through. */
  readonly failed: (error: unknown) => void;
  /** Nothing can be handed out any more. */
  readonly atRest: () => void;
}

/**
 * Hands messages to consumers: as long as one is ready and somebody can take it.
 *
 * Consumers' code runs from here. What it does to the queue takes effect at once, but for handing out: that is left to the run that is going on. So the
 * stack never grows, whatever a consumer does from inside `next`.
 */
export class Dispatcher {
  readonly #groups: Groups;
  readonly #scheduler: SchedulerLike;
  readonly #hooks: DispatcherHooks;
  #running = false;
  #joins = 0;
  #entries = 0;
  #bounces = 0;
  #later: Subscription | undefined;

  constructor(groups: Groups, scheduler: SchedulerLike, hooks: DispatcherHooks) {
    this.#groups = groups;
    this.#scheduler = scheduler;
    this.#hooks = hooks;
  }

  /** Whether a consumer is being served at this moment, further up the stack. */
  get running(): boolean {
    return this.#running;
  }

  consumerJoined(): void {
    this.#joins++;
  }

  messageEntered(): void {
    this.#entries++;
  }

  /** Nobody is left to serve. */
  cancel(): void {
    this.#later?.unsubscribe();
    this.#later = undefined;
  }

  serve(): void {
    if (this.#running) return;
    this.#running = true;
    this.#joins = this.#entries = 0;
    try {
      const { only } = this.#groups;
      if (only === undefined) while (this.#serveRound() && !this.#endless());
      else while (this.#serveGroup(only) && !this.#endless());
    } finally {
      this.#running = false;
    }
    this.#hooks.atRest();
  }

  /**
   * The first serving of a consumer that just subscribed. One that leaves within the call may be an operator like `retry`, which subscribes anew from
   * inside its subscribing, deeper and deeper; after some rounds the next one is served from the ground.
   */
  serveNewcomer(hasLeft: () => boolean): void {
    if (this.#bounces >= MAX_BOUNCES) {
      this.#serveLater();
      return;
    }
    this.serve();
    if (!hasLeft() || this.#bounces++ > 0) return;
    void Promise.resolve().then(() => {
      this.#bounces = 0;
    });
  }

  /** One message for each group that has one ready and somebody to take it; says whether it handed out one. */
  #serveRound(): boolean {
    let served = false;
    for (const group of this.#groups.all) {
      if (this.#serveGroup(group)) served = true;
    }
    return served;
  }

  /** One message, if the group has one ready and somebody to take it; says whether it handed out one. */
  #serveGroup(group: Group): boolean {
    this.#hooks.admit();
    const consumer = group.line.first;
    if (consumer === undefined || group.ready === 0) return false;
    group.line.remove(consumer);
    try {
      group.handTo(consumer);
    } catch (error) {
      this.#hooks.failed(error);
    }
    return true;
  }

  /** Whether this run of serving may have no end; then the rest of it waits. */
  #endless(): boolean {
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

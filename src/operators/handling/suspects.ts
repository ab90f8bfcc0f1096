import type { SchedulerLike, Subscription } from 'rxjs';
import type { Delivery } from '../../backend.js';
import type { Credit } from '../../bridge/credit.js';
import { after } from '../../internal/after.js';
import { Attempt } from './attempt.js';

/** Whose suspects they are. */
export interface SuspectsOwner {
  /** Whether nothing runs, waits for a handler, waits to be retried in place, or is being settled. */
  readonly atRest: boolean;
  /** How many deliveries were given up, and are held until they are dead letters. They are not waited for: however often they come, they are not run for long. */
  readonly givenUp: number;
  /** Whether another handler may run. */
  readonly hasSlot: boolean;
  /** Gives back an attempt that waits to run alone, and waits for the answer. */
  release(attempt: Attempt): void;
  /** Gives back what waits in lanes behind others. */
  releaseFollowers(): void;
  /** Starts an attempt; `resumeHandlers` is called when others may start. */
  runAlone(attempt: Attempt): void;
  resumeHandlers(): void;
  /** What waits for a handler may start. */
  moveOn(): void;
  /** A delivery that was held back is taken. */
  take(delivery: Delivery): void;
}

export interface SuspectsOptions {
  /** What a delivery is a suspect from, in attempts. */
  readonly from: number;
  /** Of the stream; undefined where that obeys none. */
  readonly credit: Credit | undefined;
  readonly scheduler: SchedulerLike;
}

/** How long a suspect waits for what else is held, in milliseconds: a handler that never ends is not to keep it from running for ever. */
const LONGEST_WAIT = 30_000;

/**
 * Deliveries that came so often that their message may be what ends its consumers. Each is run alone, with nothing else held: when it ends the process, only its
 * own message counts one delivery more. So a message that was merely held beside it is never taken for it.
 *
 * A suspect stops the intake. The other deliveries in flight are finished first. Other suspects, and deliveries that wait in a lane, are released before the suspect
 * runs, so that the process cannot lose them. Afterwards one message is asked for at a time, until one comes that is no suspect: many suspects in a row cost no more than
 * their order. The first message of a subscription is asked for in that way, too.
 *
 * A stream that obeys no credit goes on delivering. What it delivers meanwhile waits here, which is the best that can be done: of the suspects that are held, one
 * with the fewest attempts is next, by chance among several, so that the guilty one is not always the first.
 */
export class Suspects {
  readonly #owner: SuspectsOwner;
  readonly #options: SuspectsOptions;
  #waiting: Attempt[] = [];
  #running: Attempt | undefined;
  /** What came and is not to be started meanwhile. */
  #heldBack: Delivery[] = [];
  /** What was held back and is being taken. */
  #next: Delivery | undefined;
  /** One message is asked for at a time. */
  #narrow = false;
  /** There is a suspect, or the intake has not been resumed since the last one. */
  #active = false;
  #quiet = false;
  #patience: Subscription | undefined;
  #overdue = false;
  #advancing = false;
  #stopped = false;

  constructor(owner: SuspectsOwner, options: SuspectsOptions) {
    this.#owner = owner;
    this.#options = options;
    this.#setNarrow(options.credit !== undefined);
  }

  /** Whether none is held, and nothing waits for one. */
  get idle(): boolean {
    return !this.#active;
  }

  suspects({ attempt }: Delivery): boolean {
    return attempt >= this.#options.from;
  }

  /** Whether a delivery that came is to be taken now; it is held back otherwise. */
  admits(delivery: Delivery): boolean {
    const isSuspect = this.suspects(delivery);
    if (this.#narrow && !isSuspect) this.#setNarrow(false);
    const mayStart = !this.#active || (this.#options.credit !== undefined && this.#running === undefined);
    // Nothing overtakes what is held back: that may be of its key.
    const overtakes = this.#heldBack.length > 0 && delivery !== this.#next;
    // Another suspect is not started anyhow.
    if (!overtakes && (mayStart || isSuspect)) return true;
    this.#heldBack.push(delivery);
    return false;
  }

  /** A delivery was given up: that it is held is no reason to ask for no other. */
  gaveUp(): void {
    if (this.#narrow) this.#setNarrow(true);
  }

  /** A suspect is not to wait for anything in its lane. */
  add(attempt: Attempt): void {
    this.#waiting.push(attempt);
    if (!this.#active && !this.#stopped) this.#begin();
    this.advance();
  }

  /** A delivery is not worked on any more. */
  over(attempt: Attempt): void {
    if (attempt !== this.#running) return;
    this.#running = undefined;
    this.#owner.resumeHandlers();
  }

  /** Starts the next suspect, or lets everything go on, if it is time to. */
  advance(): void {
    if (this.#advancing || this.#stopped || !this.#active) return;
    this.#advancing = true;
    while (this.#active && !this.#stopped && this.#running === undefined) {
      if (this.#waiting.length === 0) this.#end();
      else if (!this.#startNext()) break;
    }
    this.#advancing = false;
  }

  /** Starts no more. */
  stop(): void {
    this.#patience?.unsubscribe();
    this.#stopped = true;
  }

  /** Takes out, one by one, what was not started. */
  *drain(): Generator<Attempt, void> {
    while (this.#waiting.length > 0) yield this.#waiting.shift() as Attempt;
    while (this.#heldBack.length > 0) yield new Attempt(this.#heldBack.shift() as Delivery, undefined);
  }

  #begin(): void {
    const { credit } = this.#options;
    this.#active = true;
    this.#quiet = credit === undefined;
    this.#await();
    credit?.pause(() => {
      this.#quiet = true;
      this.advance();
    });
  }

  #await(): void {
    this.#overdue = false;
    this.#patience = after(this.#options.scheduler, LONGEST_WAIT, () => {
      this.#overdue = true;
      this.advance();
    });
  }

  /** Starts one, unless something else is held; says whether it did. */
  #startNext(): boolean {
    const { credit } = this.#options;
    const isReady = () => this.#overdue || (this.#quiet && this.#owner.atRest);
    if (!isReady() || !this.#owner.hasSlot) return false;
    if (credit !== undefined) {
      this.#owner.releaseFollowers();
      while (this.#waiting.length > 1) this.#owner.release(this.#waiting.splice(1, 1)[0] as Attempt);
      // The broker has to know of that first. An outcome may have stopped the consumer, and then nothing waits here.
      if (this.#stopped || !isReady()) return false;
    }
    this.#patience?.unsubscribe();
    const next = this.#takeNext();
    this.#running = next;
    this.#owner.runAlone(next);
    if (this.#waiting.length > 0 && !this.#stopped) this.#await();
    return true;
  }

  #takeNext(): Attempt {
    const fewest = Math.min(...this.#waiting.map(({ delivery }) => delivery.attempt));
    const likely = this.#waiting.filter(({ delivery }) => delivery.attempt === fewest);
    const next = likely[Math.floor(Math.random() * likely.length)] as Attempt;
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    return next;
  }

  #end(): void {
    this.#active = false;
    this.#patience?.unsubscribe();
    this.#setNarrow(this.#options.credit !== undefined);
    this.#options.credit?.resume();
    // One by one: each may be a suspect again, or stop us.
    while (!this.#active && !this.#stopped && this.#heldBack.length > 0) {
      this.#next = this.#heldBack.shift() as Delivery;
      this.#owner.take(this.#next);
    }
    this.#next = undefined;
    this.#owner.moveOn();
  }

  #setNarrow(narrow: boolean): void {
    this.#narrow = narrow;
    this.#options.credit?.narrow(narrow ? this.#owner.givenUp + 1 : Number.POSITIVE_INFINITY);
  }
}

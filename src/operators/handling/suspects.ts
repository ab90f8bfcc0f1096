import type { SchedulerLike, Subscription } from 'rxjs';
import type { Credit } from '../../bridge/credit.js';
import { after } from '../../internal/after.js';
import type { Attempt } from './attempt.js';

export interface SuspectsOptions {
  readonly retryCount: number;
  /** The credit of the stream; undefined if the stream obeys none. */
  readonly credit: Credit | undefined;
  readonly scheduler: SchedulerLike;
  /**
   * Returns how many deliveries are in flight until their dead letters are delivered. A suspect
   * does not wait for them.
   */
  readonly deadLettering: () => number;
  /** Called when the next suspect may be able to run. */
  readonly onReady: () => void;
}

/**
 * How long a suspect waits for running handlers, in milliseconds. A handler that never ends must
 * not block it.
 */
const LONGEST_WAIT = 30_000;

/**
 * Deliveries with so many attempts that their message may crash its consumers.
 *
 * Each suspect runs alone, with nothing else in flight. If it ends the process, only its own
 * message counts one more delivery, so that no other message is taken for the cause.
 *
 * The first suspect pauses the intake. The handlers that run finish. Other suspects, and attempts
 * that wait in lanes, are released. Then the suspect runs. Afterwards the credit is 1 until a
 * delivery arrives that is no suspect. A subscription starts with a credit of 1, too.
 *
 * A stream that obeys no credit keeps delivering. Its deliveries are held back here meanwhile. Of
 * several suspects, one with the fewest attempts runs next, chosen at random among equals, so that
 * the guilty one is not always the first.
 */
export class Suspects {
  /** The suspect that runs. No other handler may start. */
  running: Attempt | undefined;
  readonly #options: SuspectsOptions;
  #waiting: Attempt[] = [];
  #heldBack: Attempt[] = [];
  /** Whether the credit is 1. */
  #narrow = false;
  /** Whether the intake is paused. */
  #active = false;
  /** Whether the stream delivers nothing more while it is paused. */
  #quiet = false;
  #timer: Subscription | undefined;
  #overdue = false;

  constructor(options: SuspectsOptions) {
    this.#options = options;
    this.#setNarrow(options.credit !== undefined);
  }

  /** Whether no suspect waits or runs, and no attempt is held back. */
  get idle(): boolean {
    return !this.#active && this.#heldBack.length === 0;
  }

  /** Whether no suspect waits or runs, but the intake is still paused. */
  get finished(): boolean {
    return this.#active && this.running === undefined && this.#waiting.length === 0;
  }

  includes({ delivery }: Attempt): boolean {
    // More deliveries than its retries: it was in flight when a consumer crashed.
    return delivery.attempt > this.#options.retryCount + 1;
  }

  /** Whether an attempt may be admitted now. If not, it is held back. */
  admits(attempt: Attempt): boolean {
    const isSuspect = this.includes(attempt);
    if (this.#narrow && !isSuspect) this.#setNarrow(false);
    const mayStart = !this.#active || (this.#options.credit !== undefined && this.running === undefined);
    // Nothing overtakes an attempt that is held back: their keys may be the same.
    if (this.#heldBack.length === 0 && (mayStart || isSuspect)) return true;
    this.#heldBack.push(attempt);
    return false;
  }

  /**
   * Removes and returns the next attempt that was held back; undefined while suspects wait or run.
   */
  nextHeldBack(): Attempt | undefined {
    const attempt = this.#active ? undefined : this.#heldBack.shift();
    if (attempt !== undefined && this.#narrow && !this.includes(attempt)) this.#setNarrow(false);
    return attempt;
  }

  /** Adds a suspect that waits for nothing in its lane. */
  add(attempt: Attempt): void {
    this.#waiting.push(attempt);
    if (this.#active) return;
    const { credit } = this.#options;
    this.#active = true;
    this.#quiet = credit === undefined;
    this.#startTimer();
    credit?.pause(() => {
      this.#quiet = true;
      this.#options.onReady();
    });
  }

  /**
   * Whether the next suspect may run.
   * @param atRest whether nothing else runs, waits for a handler or is being settled
   */
  mayRun(atRest: boolean): boolean {
    return this.#waiting.length > 0 && this.running === undefined && (this.#overdue || (this.#quiet && atRest));
  }

  /** Whether attempts that wait are released before a suspect runs. */
  get releasesOthers(): boolean {
    return this.#options.credit !== undefined;
  }

  /** Removes, one by one, all suspects that wait but the first. */
  *drainOthers(): Generator<Attempt, void> {
    while (this.#waiting.length > 1) yield this.#waiting.splice(1, 1)[0] as Attempt;
  }

  /** Removes the next suspect from those that wait. It is running until `ended` is called. */
  next(): Attempt {
    this.#timer?.unsubscribe();
    const fewest = Math.min(...this.#waiting.map(({ delivery }) => delivery.attempt));
    const likely = this.#waiting.filter(({ delivery }) => delivery.attempt === fewest);
    const next = likely[Math.floor(Math.random() * likely.length)] as Attempt;
    this.#waiting.splice(this.#waiting.indexOf(next), 1);
    this.running = next;
    if (this.#waiting.length > 0) this.#startTimer();
    return next;
  }

  ended(attempt: Attempt): void {
    if (attempt === this.running) this.running = undefined;
  }

  /** A delivery waits for its dead letter. It is no reason to deliver nothing else. */
  deadLettering(): void {
    if (this.#narrow) this.#setNarrow(true);
  }

  /** Resumes the intake. */
  resume(): void {
    this.#active = false;
    this.#timer?.unsubscribe();
    this.#setNarrow(this.#options.credit !== undefined);
    this.#options.credit?.resume();
  }

  stop(): void {
    this.#timer?.unsubscribe();
  }

  /** Removes, one by one, what has not run. */
  *drain(): Generator<Attempt, void> {
    while (this.#waiting.length > 0) yield this.#waiting.shift() as Attempt;
    while (this.#heldBack.length > 0) yield this.#heldBack.shift() as Attempt;
  }

  #startTimer(): void {
    this.#overdue = false;
    this.#timer = after(this.#options.scheduler, LONGEST_WAIT, () => {
      this.#overdue = true;
      this.#options.onReady();
    });
  }

  #setNarrow(narrow: boolean): void {
    this.#narrow = narrow;
    this.#options.credit?.narrow(narrow ? this.#options.deadLettering() + 1 : Number.POSITIVE_INFINITY);
  }
}

import type { SchedulerLike, Subscription } from 'rxjs';
import { LONGEST_TIMER } from '../internal/after.js';
import { Heap } from '../internal/heap.js';
import type { Group } from './group.js';
import type { Message } from './message.js';

/**
 * How far a timer may run ahead of the clock, in milliseconds. If it is further ahead, the clock
 * was set back.
 */
const TIMER_SLACK = 50;

/**
 * A message that no consumer receives before it is due: a publish that has no place yet, or a
 * requeued message.
 */
export interface Delayed {
  readonly message: Message;
  /** When the message becomes due, in milliseconds since the epoch. */
  readonly due: number;
  /** The groups that get the message then. */
  readonly recipients: readonly Group[];
}

interface Entry extends Delayed {
  /** Of two messages that are due at the same time, the first added becomes due first. */
  readonly order: number;
}

/** Holds delayed messages, with one timer for all of them. */
export class Delays {
  readonly #entries = new Heap<Entry>(
    (one, other) => one.due < other.due || (one.due === other.due && one.order < other.order),
  );
  readonly #scheduler: SchedulerLike;
  readonly #onDue: (due: Delayed[]) => void;
  #added = 0;
  #paused = false;
  #timer: Subscription | undefined;
  /** When the timer fires. */
  #timerDue = 0;

  constructor(scheduler: SchedulerLike, onDue: (due: Delayed[]) => void) {
    this.#scheduler = scheduler;
    this.#onDue = onDue;
  }

  add(delayed: Delayed): void {
    this.#entries.push({ ...delayed, order: this.#added++ });
    this.#arm();
  }

  /** Returns all messages, in the order in which they become due. */
  sorted(): Delayed[] {
    return this.#entries.sorted();
  }

  /** Removes the message that becomes due first, and returns it. */
  shift(): Delayed | undefined {
    const first = this.#entries.pop();
    this.#arm();
    return first;
  }

  /** Removes all messages and returns them, in the order in which they become due. */
  drain(): Delayed[] {
    const all = this.#entries.drain();
    this.#arm();
    return all;
  }

  /** Stops the timer, so that it does not keep the process alive. */
  pause(): void {
    this.#paused = true;
    this.#arm();
  }

  resume(): void {
    this.#paused = false;
    this.#arm();
  }

  /** Sets the timer for the first message, or stops it if there is none. */
  #arm(): void {
    const due = this.#paused ? undefined : this.#entries.peek()?.due;
    if (due !== undefined && this.#timer !== undefined && this.#timerDue === due) return;
    this.#timer?.unsubscribe();
    this.#timer = undefined;
    if (due === undefined) return;
    this.#timerDue = due;
    const now = this.#scheduler.now();
    const wait = Math.min(Math.max(due - now, 0), LONGEST_TIMER);
    this.#timer = this.#scheduler.schedule(() => this.#fire(now + wait), wait);
  }

  /** Handles the timer, which fires at the time `expected` unless the clock was set back. */
  #fire(expected: number): void {
    this.#timer = undefined;
    const clock = this.#scheduler.now();
    const now = clock < expected - TIMER_SLACK ? expected : clock;
    const due: Delayed[] = [];
    for (let first = this.#entries.peek(); first !== undefined && first.due <= now; first = this.#entries.peek()) {
      this.#entries.pop();
      due.push(first);
    }
    this.#arm();
    if (due.length > 0) this.#onDue(due);
  }
}

import type { SchedulerLike, Subscription } from 'rxjs';
import { LONGEST_TIMER } from '../internal/after.js';
import { Heap } from '../internal/heap.js';
import type { Message } from './message.js';

/** How far a timer may run ahead of the clock, in milliseconds. When it is further ahead, the clock was set back. */
const TIMER_SLACK = 50;

/** A message that no consumer sees before it is due. */
export interface Delayed<Target> {
  readonly message: Message;
  /** When it falls due, in milliseconds since the epoch. */
  readonly due: number;
  /** Where it goes then. */
  readonly target: Target;
}

interface Entry<Target> extends Delayed<Target> {
  /** Among those due at the same time, the first added is the first to go. */
  readonly order: number;
}

/** Messages in order of the time when they fall due, with one timer for all of them. */
export class Delays<Target> {
  readonly #entries = new Heap<Entry<Target>>(
    (one, other) => one.due < other.due || (one.due === other.due && one.order < other.order),
  );
  readonly #scheduler: SchedulerLike;
  readonly #onDue: (due: Delayed<Target>[]) => void;
  #added = 0;
  #paused = false;
  #timer: Subscription | undefined;
  /** When the timer goes off. */
  #set = 0;

  constructor(scheduler: SchedulerLike, onDue: (due: Delayed<Target>[]) => void) {
    this.#scheduler = scheduler;
    this.#onDue = onDue;
  }

  get length(): number {
    return this.#entries.length;
  }

  add(delayed: Delayed<Target>): void {
    this.#entries.push({ ...delayed, order: this.#added++ });
    this.#arm();
  }

  /** The one that falls due first, taken out. */
  shift(): Delayed<Target> | undefined {
    const first = this.#entries.pop();
    this.#arm();
    return first;
  }

  /** Everything, in order, taken out. */
  drain(): Delayed<Target>[] {
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

  /** Sees to it that the timer is set for what falls due first, and for nothing when there is nothing. */
  #arm(): void {
    const due = this.#paused ? undefined : this.#entries.peek()?.due;
    if (due !== undefined && this.#timer !== undefined && this.#set === due) return;
    this.#timer?.unsubscribe();
    this.#timer = undefined;
    if (due === undefined) return;
    this.#set = due;
    const now = this.#scheduler.now();
    const wait = Math.min(Math.max(due - now, 0), LONGEST_TIMER);
    this.#timer = this.#scheduler.schedule(() => this.#fire(now + wait), wait);
  }

  /** The timer went off, at a time that should be `expected`. */
  #fire(expected: number): void {
    this.#timer = undefined;
    const clock = this.#scheduler.now();
    const now = clock < expected - TIMER_SLACK ? expected : clock;
    const due: Delayed<Target>[] = [];
    for (let first = this.#entries.peek(); first !== undefined && first.due <= now; first = this.#entries.peek()) {
      this.#entries.pop();
      due.push(first);
    }
    this.#arm();
    if (due.length > 0) this.#onDue(due);
  }
}

import type { Attempt, Lane } from './attempt.js';

/** How many empty lanes are kept, in addition to twice the number of occupied lanes. */
const SPARE_LANES = 1024;

/**
 * The attempts that wait for a handler: first in, first out, and one at a time within a lane.
 *
 * Attempts carry the links, so that the queue allocates nothing. Empty lanes are kept for a while
 * and removed together: a `Map` whose entries come and go is rebuilt again and again, and each
 * table links to the one before it, which burdens the garbage collector.
 */
export class AttemptQueue {
  /** The attempt that may run next. */
  first: Attempt | undefined;
  #last: Attempt | undefined;
  #lanes = new Map<unknown, Lane>();
  #occupied = 0;

  /** Adds an attempt that may run as soon as a handler is free. */
  push(attempt: Attempt): void {
    if (this.first === undefined) this.first = attempt;
    else (this.#last as Attempt).nextReady = attempt;
    this.#last = attempt;
  }

  /** Removes and returns the first attempt. Only valid while there is one. */
  shift(): Attempt {
    const first = this.first as Attempt;
    this.first = first.nextReady;
    if (this.first === undefined) this.#last = undefined;
    first.nextReady = undefined;
    return first;
  }

  /** Appends an attempt to the lane of a key. Returns whether it is the first of its lane. */
  enterLane(attempt: Attempt, key: unknown): boolean {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { first: undefined, last: undefined };
      this.#lanes.set(key, lane);
    }
    attempt.lane = lane;
    const { last } = lane;
    lane.last = attempt;
    if (last === undefined) {
      lane.first = attempt;
      this.#occupied++;
      return true;
    }
    last.nextInLane = attempt;
    return false;
  }

  /** Removes the first attempt of a lane. Returns the attempt that is the first now. */
  leaveLane(attempt: Attempt, lane: Lane): Attempt | undefined {
    const next = attempt.nextInLane;
    attempt.lane = attempt.nextInLane = undefined;
    lane.first = next;
    if (next === undefined) {
      lane.last = undefined;
      this.#occupied--;
      if (this.#occupied === 0 || this.#lanes.size > SPARE_LANES + 2 * this.#occupied) this.#removeEmptyLanes();
    }
    return next;
  }

  /** Replaces the first attempt of a lane by one that may run as soon as a handler is free. */
  replace(attempt: Attempt, next: Attempt, lane: Lane): void {
    next.lane = lane;
    next.nextInLane = attempt.nextInLane;
    attempt.lane = attempt.nextInLane = undefined;
    lane.first = next;
    if (lane.last === attempt) lane.last = next;
    this.push(next);
  }

  /** Removes, one by one, the attempts that are not the first of their lane. */
  *drainLanes(): Generator<Attempt, void> {
    for (const lane of this.#lanes.values()) {
      for (let next = lane.first?.nextInLane; next !== undefined; next = lane.first?.nextInLane) {
        (lane.first as Attempt).nextInLane = next.nextInLane;
        next.lane = next.nextInLane = undefined;
        if (lane.last === next) lane.last = lane.first;
        yield next;
      }
    }
  }

  /** Removes all attempts, one by one. */
  *drain(): Generator<Attempt, void> {
    while (this.first !== undefined) yield this.shift();
    yield* this.drainLanes();
  }

  #removeEmptyLanes(): void {
    const all = this.#lanes;
    this.#lanes = new Map();
    if (this.#occupied === 0) return;
    for (const [key, lane] of all) {
      if (lane.first !== undefined) this.#lanes.set(key, lane);
    }
  }
}

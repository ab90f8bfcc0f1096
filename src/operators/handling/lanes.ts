import type { Attempt, Lane } from './attempt.js';

/** How many lanes that nobody is in may be kept, beside twice as many as are in use. */
const SPARE_LANES = 1024;

/**
 * Keeps deliveries of one key apart: the first one goes on, the others wait behind it until it leaves.
 *
 * Keys that come and go leave nothing behind. They are not deleted one by one, though: a `Map` whose entries come and go makes a new table every so often,
 * each of which hangs on the one before, and the garbage collector carries all of them along. So empty lanes are kept for a while, and swept together.
 */
export class Lanes {
  #lanes = new Map<unknown, Lane>();
  /** How many lanes somebody is in. */
  #used = 0;

  /** The lane of a key. */
  of(key: unknown): Lane {
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { first: undefined, last: undefined };
      this.#lanes.set(key, lane);
    }
    return lane;
  }

  /** Puts an attempt at the end of its lane; says whether it is the first there. */
  enter(attempt: Attempt, lane: Lane): boolean {
    const { last } = lane;
    lane.last = attempt;
    if (last === undefined) {
      lane.first = attempt;
      this.#used++;
      return true;
    }
    last.behind = attempt;
    return false;
  }

  /** The first of a lane is done with; returns who is first now. */
  leave(attempt: Attempt, lane: Lane): Attempt | undefined {
    const next = attempt.behind;
    attempt.behind = undefined;
    lane.first = next;
    if (next === undefined) {
      lane.last = undefined;
      this.#used--;
      if (this.#used === 0 || this.#lanes.size > SPARE_LANES + 2 * this.#used) this.#sweep();
    }
    return next;
  }

  /** The first of a lane is tried once more, under the name of another attempt. */
  replace(attempt: Attempt, next: Attempt, lane: Lane): void {
    next.behind = attempt.behind;
    attempt.behind = undefined;
    lane.first = next;
    if (lane.last === attempt) lane.last = next;
  }

  /** Takes out, one by one, what waits behind the first of each lane. The lanes stay. */
  *takeFollowers(): Generator<Attempt, void> {
    for (const lane of this.#lanes.values()) {
      for (let next = lane.first?.behind; next !== undefined; next = lane.first?.behind) {
        (lane.first as Attempt).behind = next.behind;
        next.behind = undefined;
        if (lane.last === next) lane.last = lane.first;
        yield next;
      }
    }
  }

  #sweep(): void {
    const old = this.#lanes;
    this.#lanes = new Map();
    if (this.#used === 0) return;
    for (const [key, lane] of old) {
      if (lane.first !== undefined) this.#lanes.set(key, lane);
    }
  }
}

import type { Attempt } from './attempt.js';

/**
 * Keeps deliveries of one key apart: the first one goes on, the others wait behind it until it leaves.
 *
 * A lane is there only while somebody is in it: keys that come and go leave nothing behind.
 */
export class Lanes {
  /** Who is last in each lane. */
  readonly #last = new Map<unknown, Attempt>();
  /** Everybody who is not the first in a lane. */
  readonly #waiting = new Set<Attempt>();

  /** Puts an attempt at the end of its lane; says whether it is the first there. */
  enter(attempt: Attempt): boolean {
    const last = this.#last.get(attempt.lane);
    this.#last.set(attempt.lane, attempt);
    if (last === undefined) return true;
    last.behind = attempt;
    this.#waiting.add(attempt);
    return false;
  }

  /** The first of a lane is done with; returns who is first now. */
  leave(attempt: Attempt): Attempt | undefined {
    const next = attempt.behind;
    attempt.behind = undefined;
    if (next === undefined) this.#last.delete(attempt.lane);
    else this.#waiting.delete(next);
    return next;
  }

  /** The first of a lane is tried once more, under the name of another attempt. */
  replace(attempt: Attempt, next: Attempt): void {
    next.behind = attempt.behind;
    attempt.behind = undefined;
    if (next.behind === undefined) this.#last.set(next.lane, next);
  }

  /** Everybody who is not the first in a lane, taken out, in the order of their coming. */
  drain(): Attempt[] {
    const all = [...this.#waiting];
    this.#waiting.clear();
    this.#last.clear();
    return all;
  }
}

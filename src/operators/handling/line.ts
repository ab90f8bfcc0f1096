import type { Attempt } from './attempt.js';

/** Attempts that wait for a handler, first come first served. Its members carry the links, so that to join and to leave allocates nothing. */
export class Line {
  first: Attempt | undefined;
  #last: Attempt | undefined;

  push(attempt: Attempt): void {
    if (this.first === undefined) this.first = attempt;
    else (this.#last as Attempt).following = attempt;
    this.#last = attempt;
  }

  /** The first one, taken out. Only while there is one. */
  shift(): Attempt {
    const first = this.first as Attempt;
    this.first = first.following;
    if (this.first === undefined) this.#last = undefined;
    first.following = undefined;
    return first;
  }
}

/**
 * A member of a list. It contains its own links: removal from the middle is O(1), and adding
 * allocates nothing.
 */
export interface Linked {
  /**
   * The list that contains it. Initialise all three fields with undefined; the list manages them.
   */
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
}

/**
 * A doubly linked list. A member is in at most one list at a time. Unlike a `Set` that fills and
 * empties again and again, it leaves no garbage that the collector takes for alive.
 */
export class LinkedList<Member extends Linked> {
  first: Member | undefined;
  #last: Member | undefined;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  *[Symbol.iterator](): Generator<Member> {
    for (let member = this.first; member !== undefined; member = member.after as Member | undefined) yield member;
  }

  /** Adds a member that is in no list to the end. */
  append(member: Member): void {
    const last = this.#last;
    member.list = this;
    member.before = last;
    if (last === undefined) this.first = member;
    else last.after = member;
    this.#last = member;
    this.#length += 1;
  }

  /** Removes a member. Returns whether it was in this list. */
  remove(member: Member): boolean {
    if (member.list !== this) return false;
    const { before, after } = member;
    if (before === undefined) this.first = after as Member | undefined;
    else before.after = after;
    if (after === undefined) this.#last = before as Member | undefined;
    else after.before = before;
    this.#length -= 1;
    member.list = member.before = member.after = undefined;
    return true;
  }
}

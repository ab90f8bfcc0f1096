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

/** A doubly linked list. A member is in at most one list at a time. */
export class LinkedList<Member extends Linked> {
  first: Member | undefined;
  #last: Member | undefined;

  /** Adds a member that is in no list to the end. */
  append(member: Member): void {
    const last = this.#last;
    member.list = this;
    member.before = last;
    if (last === undefined) this.first = member;
    else last.after = member;
    this.#last = member;
  }

  /** Removes a member. Returns whether it was in this list. */
  remove(member: Member): boolean {
    if (member.list !== this) return false;
    const { before, after } = member;
    if (before === undefined) this.first = after as Member | undefined;
    else before.after = after;
    if (after === undefined) this.#last = before as Member | undefined;
    else after.before = before;
    member.list = member.before = member.after = undefined;
    return true;
  }
}

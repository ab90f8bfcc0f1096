/** A member of a list: it carries its own links, so that leaving from the middle is O(1) and joining allocates nothing. */
export interface Linked {
  /** The list that it is in. This and the links belong to the list: start with undefined and leave them alone. */
  list: object | undefined;
  before: Linked | undefined;
  after: Linked | undefined;
}

/** A doubly linked list, for members that are in one list at a time. */
export class LinkedList<Member extends Linked> {
  first: Member | undefined;
  #last: Member | undefined;

  /** Adds a member that is in no list at the end. */
  append(member: Member): void {
    const last = this.#last;
    member.list = this;
    member.before = last;
    if (last === undefined) this.first = member;
    else last.after = member;
    this.#last = member;
  }

  /** Takes a member out; says whether it was in this list. */
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

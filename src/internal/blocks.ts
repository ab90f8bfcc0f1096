interface Block {
  readonly slots: unknown[];
  next: Block | undefined;
}

/** Slots of the first block of a queue, and of the largest one. */
const SMALLEST = 48;
const LARGEST = 6_144;

/**
 * Linked blocks of slots: what every first-in-first-out queue of the library is made of.
 *
 * An entry takes `width` slots side by side. Nothing is copied as the queue grows, as an array that doubles would; taking from the front is
 * O(1), as `Array.shift` is not; an emptied slot is cleared, so that nothing stays alive for having passed through.
 */
export abstract class Blocks {
  /** Entries held. */
  length = 0;

  readonly #width: number;
  #first: Block;
  #last: Block;
  #spare: Block | undefined;
  /** Where the next entry is read in the first block, and written in the last one. */
  #read = 0;
  #write = 0;

  constructor(width: number) {
    this.#width = width;
    this.#first = this.#last = { slots: new Array(SMALLEST).fill(undefined), next: undefined };
  }

  /** The slots in which the first entry stands, from `front` on. */
  protected get slots(): unknown[] {
    return this.#first.slots;
  }

  protected get front(): number {
    return this.#read;
  }

  /** The slots for one more entry, from `back` on; fill them, then call `grew`. */
  protected get room(): unknown[] {
    if (this.#write === this.#last.slots.length) this.#append();
    return this.#last.slots;
  }

  protected get back(): number {
    return this.#write;
  }

  protected grew(): void {
    this.#write += this.#width;
    this.length++;
  }

  /** Call when the first entry's slots have been cleared. */
  protected shrank(): void {
    this.#read += this.#width;
    if (--this.length === 0) {
      // Empty, so in its last block: start it again, and a queue that seldom holds much stays in one small block.
      this.#read = this.#write = 0;
    } else if (this.#read === this.#first.slots.length) {
      const emptied = this.#first;
      this.#first = emptied.next as Block;
      emptied.next = undefined;
      this.#spare = emptied;
      this.#read = 0;
    }
  }

  #append(): void {
    const size = Math.min(this.#last.slots.length * 2, LARGEST);
    const spare = this.#spare;
    this.#spare = undefined;
    const block = spare !== undefined && spare.slots.length === size ? spare : { slots: new Array(size).fill(undefined), next: undefined };
    this.#last.next = block;
    this.#last = block;
    this.#write = 0;
  }
}

interface Block<Value> {
  readonly slots: (Value | undefined)[];
  next: Block<Value> | undefined;
}

/** How many values the first block holds, and the largest one. */
const SMALLEST = 16;
const LARGEST = 16_384;

/**
 * A first-in-first-out queue of values, in linked blocks.
 *
 * Nothing is copied as it grows, as an array that doubles would be; taking from the front is O(1), as `Array.shift` is not; an emptied slot is cleared,
 * so that nothing stays alive for having passed through.
 */
export class BlockQueue<Value> {
  #length = 0;
  #first: Block<Value> = newBlock(SMALLEST);
  #last = this.#first;
  #spare: Block<Value> | undefined;
  /** Where the next value is read in the first block, and written in the last one. */
  #read = 0;
  #write = 0;

  /** How many values there are. */
  get length(): number {
    return this.#length;
  }

  push(value: Value): void {
    if (this.#write === this.#last.slots.length) this.#append();
    this.#last.slots[this.#write++] = value;
    this.#length++;
  }

  /** The first value, taken out. Only while `length > 0`. */
  shift(): Value {
    const { slots } = this.#first;
    const value = slots[this.#read] as Value;
    slots[this.#read++] = undefined;
    if (--this.#length === 0) {
      // Empty, so in its last block: start it again, and a queue that seldom holds much stays in one small block.
      this.#read = this.#write = 0;
    } else if (this.#read === slots.length) this.#advance();
    return value;
  }

  /** Yields all values, in order. The queue must not change meanwhile. */
  *[Symbol.iterator](): IterableIterator<Value> {
    let left = this.#length;
    let read = this.#read;
    for (let block = this.#first; left > 0; block = block.next as Block<Value>, read = 0) {
      for (; read < block.slots.length && left > 0; left--) yield block.slots[read++] as Value;
    }
  }

  #append(): void {
    const size = Math.min(this.#last.slots.length * 2, LARGEST);
    const block = this.#spare?.slots.length === size ? this.#spare : newBlock<Value>(size);
    this.#spare = undefined;
    this.#last.next = block;
    this.#last = block;
    this.#write = 0;
  }

  #advance(): void {
    const emptied = this.#first;
    this.#first = emptied.next as Block<Value>;
    emptied.next = undefined;
    this.#spare = emptied;
    this.#read = 0;
  }
}

function newBlock<Value>(size: number): Block<Value> {
  return { slots: new Array(size).fill(undefined), next: undefined };
}

interface Block<Value> {
  readonly slots: (Value | undefined)[];
  next: Block<Value> | undefined;
}

/** The sizes of the smallest and of the largest block. */
const SMALLEST = 16;
const LARGEST = 16_384;

/**
 * A first-in-first-out queue of values, in linked blocks.
 *
 * Growing copies nothing, unlike a doubling array. Removing the first value is O(1), unlike
 * `Array.shift`. Emptied slots are cleared, so that removed values can be collected.
 */
export class BlockQueue<Value> {
  #length = 0;
  #first: Block<Value> = newBlock(SMALLEST);
  #last = this.#first;
  #spare: Block<Value> | undefined;
  /** The read position in the first block, and the write position in the last one. */
  #read = 0;
  #write = 0;

  get length(): number {
    return this.#length;
  }

  push(value: Value): void {
    if (this.#write === this.#last.slots.length) this.#append();
    this.#last.slots[this.#write++] = value;
    this.#length++;
  }

  /** Removes the first value and returns it. Requires `length > 0`. */
  shift(): Value {
    const { slots } = this.#first;
    const value = slots[this.#read] as Value;
    slots[this.#read++] = undefined;
    if (--this.#length === 0) {
      // Empty, so this is the last block: reuse it, so that a short queue stays in one small block.
      this.#read = this.#write = 0;
    } else if (this.#read === slots.length) this.#advance();
    return value;
  }

  /** Yields all values in order. The queue must not change meanwhile. */
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

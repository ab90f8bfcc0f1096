/** A binary heap. Its first value `isBefore` all others. */
export class Heap<Value> {
  readonly #values: Value[] = [];
  readonly #isBefore: (one: Value, other: Value) => boolean;

  constructor(isBefore: (one: Value, other: Value) => boolean) {
    this.#isBefore = isBefore;
  }

  get length(): number {
    return this.#values.length;
  }

  peek(): Value | undefined {
    return this.#values[0];
  }

  push(value: Value): void {
    const values = this.#values;
    let hole = values.length;
    values.push(value);
    while (hole > 0) {
      const parent = (hole - 1) >> 1;
      const above = values[parent] as Value;
      if (!this.#isBefore(value, above)) break;
      values[hole] = above;
      hole = parent;
    }
    values[hole] = value;
  }

  pop(): Value | undefined {
    const values = this.#values;
    const top = values[0];
    const last = values.pop();
    if (values.length > 0) this.#sink(last as Value);
    return top;
  }

  /** Returns all values, in order. */
  sorted(): Value[] {
    const isBefore = this.#isBefore;
    return [...this.#values].sort((one, other) => (isBefore(one, other) ? -1 : isBefore(other, one) ? 1 : 0));
  }

  /** Removes all values and returns them, in order. */
  drain(): Value[] {
    const all = this.sorted();
    this.#values.length = 0;
    return all;
  }

  #sink(value: Value): void {
    const values = this.#values;
    let hole = 0;
    for (;;) {
      let child = 2 * hole + 1;
      if (child >= values.length) break;
      if (child + 1 < values.length && this.#isBefore(values[child + 1] as Value, values[child] as Value)) child++;
      const below = values[child] as Value;
      if (!this.#isBefore(below, value)) break;
      values[hole] = below;
      hole = child;
    }
    values[hole] = value;
  }
}

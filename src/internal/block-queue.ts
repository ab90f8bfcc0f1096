import { Blocks } from './blocks.js';

/** A first-in-first-out queue of values. */
export class BlockQueue<Value> extends Blocks {
  constructor() {
    super(1);
  }

  push(value: Value): void {
    this.room[this.back] = value;
    this.grew();
  }

  /** The first value, taken out. Only while `length > 0`. */
  shift(): Value {
    const { slots, front } = this;
    const value = slots[front] as Value;
    slots[front] = undefined;
    this.shrank();
    return value;
  }

  /** Everything in it, in order, taken out; at most `limit` values. */
  splice(limit = Number.POSITIVE_INFINITY): Value[] {
    const values: Value[] = [];
    while (this.length > 0 && values.length < limit) values.push(this.shift());
    return values;
  }
}

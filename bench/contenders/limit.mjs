/**
 * The limit: a handwritten ring buffer whose iterator's `next()` returns a resolved promise. It
 * checks nothing, cannot be closed and cannot fail. Every queue that creates as many promises for
 * `for await` is slower.
 */
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

class Ring {
  #slots = new Array(16);
  #mask = 15;
  #head = 0;
  length = 0;

  push(item) {
    if (this.length > this.#mask) this.#grow();
    this.#slots[(this.#head + this.length++) & this.#mask] = item;
  }

  shift() {
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & this.#mask;
    this.length--;
    return item;
  }

  #grow() {
    const grown = new Array(this.length * 2);
    for (let i = 0; i < this.length; i++) grown[i] = this.#slots[(this.#head + i) & this.#mask];
    this.#slots = grown;
    this.#mask = grown.length - 1;
    this.#head = 0;
  }
}

class LimitQueue {
  #capacity;
  #values = new Ring();
  /** The `resolve` functions of the waiting `next()` calls. */
  #takers = new Ring();
  /** The waiting publishes: each value is followed by the `resolve` of its promise. */
  #putters = new Ring();
  #park = (resolve) => this.#takers.push(resolve);

  constructor(capacity) {
    this.#capacity = capacity;
  }

  push(value) {
    if (this.#takers.length > 0) this.#takers.shift()({ done: false, value });
    else if (this.#values.length < this.#capacity) this.#values.push(value);
    else return this.#wait(value);
    return RESOLVED;
  }

  next() {
    if (this.#values.length === 0) return new Promise(this.#park);
    const value = this.#values.shift();
    if (this.#putters.length > 0) {
      this.#values.push(this.#putters.shift());
      this.#putters.shift()();
    }
    return Promise.resolve({ done: false, value });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  #wait(value) {
    return new Promise((resolve) => {
      this.#putters.push(value);
      this.#putters.push(resolve);
    });
  }
}

export function open({ capacity = Number.POSITIVE_INFINITY } = {}) {
  const queue = new LimitQueue(capacity);
  return promiseQueue((payload) => queue.push(payload), queue);
}

export function bridge(source) {
  const queue = new LimitQueue(Number.POSITIVE_INFINITY);
  source.subscribe((payload) => queue.push(payload));
  return queue;
}

/** Collects the values of one turn in one array. */
class LimitBatches {
  /** The array that new values are added to. */
  #filling;
  #taker;
  #park = (resolve) => {
    this.#taker = resolve;
  };

  push(value) {
    if (this.#filling !== undefined) {
      this.#filling.push(value);
      return;
    }
    const batch = [value];
    this.#filling = batch;
    if (this.#taker === undefined) return;
    // Runs before the consumer.
    queueMicrotask(() => {
      this.#filling = undefined;
    });
    this.#taker({ done: false, value: batch });
    this.#taker = undefined;
  }

  next() {
    const value = this.#filling;
    if (value === undefined) return new Promise(this.#park);
    this.#filling = undefined;
    return Promise.resolve({ done: false, value });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

export function bridgeBatches(source) {
  const batches = new LimitBatches();
  source.subscribe((payload) => batches.push(payload));
  return batches;
}

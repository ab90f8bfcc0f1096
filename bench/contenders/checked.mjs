/**
 * The limit with what every queue of this library owes: a payload is checked, each promise takes
 * its turn, messages are counted, and have a key and a time. It shows how much of the difference
 * from the limit no code can save. It has one class and no other features: nothing can be closed,
 * aborted, settled, requeued or observed.
 */
import { asyncScheduler } from 'rxjs';
import { BlockQueue } from '../../dist/internal/block-queue.js';
import { publishClockOf } from '../../dist/internal/burst-clock.js';
import { checkKey, checkPayload } from '../../dist/internal/message.js';
import { turn } from '../../dist/internal/turn.js';
import { MessageBuffer } from '../../dist/memory/message-buffer.js';
import { promiseQueue } from '../lib/loops.mjs';

const clock = publishClockOf(asyncScheduler);

class CheckedQueue {
  waiting = 0;
  inFlight = 0;
  #capacity;
  #createdAt = Date.now();
  #messages = new MessageBuffer();
  #takers = new BlockQueue();
  /** The messages of waiting publishes, and the `resolve` of the promise of each. */
  #unadmitted = new MessageBuffer();
  #putters = new BlockQueue();
  #checkedKey = '';
  #parkTaker = (resolve) => this.#takers.push(resolve);
  #parkPutter = (resolve) => this.#putters.push(resolve);

  constructor(capacity) {
    this.#capacity = capacity;
  }

  publish(key, payload) {
    if (key !== this.#checkedKey) {
      checkKey(key);
      this.#checkedKey = key;
    }
    checkPayload(payload);
    if (this.#takers.length > 0) {
      this.inFlight++;
      turn.resolve(this.#takers.shift(), { done: false, value: payload });
      return turn.doneWithLast();
    }
    const time = clock.now() - this.#createdAt;
    if (this.waiting >= this.#capacity) {
      this.#unadmitted.push(key, payload, time);
      return new Promise(this.#parkPutter);
    }
    this.waiting++;
    this.#messages.push(key, payload, time);
    return turn.done();
  }

  next() {
    if (this.inFlight > 0) this.inFlight--;
    if (this.waiting === 0) return new Promise(this.#parkTaker);
    const value = this.#messages.shift();
    this.inFlight++;
    if (this.#putters.length === 0) this.waiting--;
    else {
      const { key, details } = this.#unadmitted;
      this.#messages.push(key, this.#unadmitted.shift(), details);
      turn.resolve(this.#putters.shift(), undefined);
    }
    return turn.value({ done: false, value });
  }

  [Symbol.asyncIterator]() {
    return this;
  }
}

export function open({ capacity = Number.POSITIVE_INFINITY } = {}) {
  const queue = new CheckedQueue(capacity);
  return promiseQueue((payload) => queue.publish('bench', payload), queue);
}

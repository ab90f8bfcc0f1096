import { EventIterator } from 'event-iterator';
import { promiseQueue, RESOLVED } from '../lib/loops.mjs';

/**
 * Signals backpressure by events: the publisher pauses at the high-water mark and resumes at the
 * low-water mark.
 */
export function open({ capacity = Number.POSITIVE_INFINITY } = {}) {
  let queue;
  let room = RESOLVED;
  let resume;
  const listen = (given) => {
    queue = given;
    queue.on('highWater', () => {
      room = new Promise((resolve) => {
        resume = resolve;
      });
    });
    queue.on('lowWater', () => {
      room = RESOLVED;
      resume();
    });
  };
  const iterator = new EventIterator(listen, { highWaterMark: capacity, lowWaterMark: capacity / 2 });
  const push = (payload) => {
    queue.push(payload);
    return room;
  };
  return promiseQueue(push, iterator);
}

export function bridge(source) {
  return new EventIterator(
    (queue) => {
      source.subscribe((payload) => queue.push(payload));
    },
    { highWaterMark: Number.POSITIVE_INFINITY },
  );
}

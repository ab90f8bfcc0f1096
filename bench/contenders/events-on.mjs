import { EventEmitter, on } from 'node:events';
import { RESOLVED } from '../lib/loops.mjs';

/** `events.on` pauses an emitter that can be paused when more than `highWaterMark` events wait. */
class Emitter extends EventEmitter {
  room = RESOLVED;
  #open;

  pause() {
    this.room = new Promise((resolve) => {
      this.#open = resolve;
    });
  }

  resume() {
    this.room = RESOLVED;
    this.#open?.();
  }
}

export function open({ capacity } = {}) {
  const emitter = new Emitter();
  const marks = capacity === undefined ? {} : { highWaterMark: capacity, lowWaterMark: capacity / 2 };
  const events = on(emitter, 'message', marks);
  return {
    push(payload) {
      emitter.emit('message', payload);
      return emitter.room;
    },
    async publish(first, step, end, accepted) {
      for (let n = first; n < end; n += step) {
        emitter.emit('message', { n });
        await emitter.room;
        accepted?.();
      }
    },
    async consume(take) {
      for await (const [payload] of events) take(payload.n);
    },
  };
}

export function bridge(source) {
  const emitter = new EventEmitter();
  const events = on(emitter, 'message');
  source.subscribe((payload) => emitter.emit('message', payload));
  return events;
}

/** Each event is the array of its arguments. */
export async function consumeBridge(events, take) {
  for await (const [payload] of events) take(payload.n);
}

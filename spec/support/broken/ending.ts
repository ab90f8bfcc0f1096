import { asyncScheduler, Observable, type SchedulerAction, Subscription, VirtualTimeScheduler } from 'rxjs';
import { MemoryBackend } from 'sluice';
import { silentLogger } from '../recording-logger.js';
import { type Broken, changed, publishing, streaming, wrap } from './wrapped.js';

/** Runs at once, in a microtask, what should wait for a macrotask. */
class ImpatientScheduler extends VirtualTimeScheduler {
  override now = () => Date.now();

  override schedule<State>(
    work: (this: SchedulerAction<State>, state?: State) => void,
    delay = 0,
    state?: State,
  ): Subscription {
    if (delay > 0) return asyncScheduler.schedule(work, delay, state);
    const subscription = new Subscription();
    queueMicrotask(() => {
      if (!subscription.closed) Reflect.apply(work, subscription, [state]);
    });
    return subscription;
  }
}

/** Backends that publish, close or take turns in the wrong way. */
export const ending: readonly Broken[] = [
  {
    defect: 'enqueues what was aborted before',
    caughtBy: 'rule 4: a publish whose signal was aborted before rejects with its reason, and enqueues nothing',
    saying: /Expected deliveries of \[2\], got \[1/,
    create: publishing(async (memory, key, payload, { signal, ...options } = {}) => {
      await memory.publish(key, payload, options);
      signal?.throwIfAborted();
    }),
  },
  {
    defect: 'looks at the headers when it gets round to it',
    caughtBy: 'rule 4: headers and options belong to the caller again when publish() has returned',
    saying: /'after'/,
    create: publishing(async (memory, key, payload, { headers, ...options } = {}) => {
      await Promise.resolve();
      await memory.publish(key, payload, headers === undefined ? options : { ...options, headers });
    }),
  },
  {
    defect: 'hands the object of the publisher on, though it promises a copy',
    caughtBy:
      'rule 4: the payload belongs to the caller again when publish() has returned, and each consumer has a copy of its own',
    saying: /99/,
    capabilities: { validation: 'json' },
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger }),
  },
  {
    defect: 'leaves a listener on the signal of every publish',
    caughtBy: 'rule 12: a publish that is over leaves no listener on its signal',
    saying: /the listeners of publish\(\) to go/,
    create: publishing((memory, key, payload, options) => {
      options?.signal?.addEventListener('abort', () => {});
      return memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'throws what it should reject with',
    caughtBy: 'rule 5: a bad key is refused with an InvalidMessageError that names it',
    saying: /but it threw/,
    create: publishing((memory, key, payload, options) => {
      if (typeof key !== 'string' || key === '') throw new TypeError('bad key');
      return memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'sends whatever JSON makes of a payload',
    caughtBy: 'rule 5: what JSON would change is refused with an InvalidMessageError that names the path',
    saying: /Expected publish\(\) of a Date in the payload to reject/,
    capabilities: { validation: 'json' },
    create: publishing((memory, key, payload, options) =>
      memory.publish(key, JSON.parse(JSON.stringify(payload)) as object, options),
    ),
  },
  {
    defect: 'names no path in what it refuses',
    caughtBy: 'rule 5: headers that are no strings are refused with an InvalidMessageError that names the path',
    saying: /InvalidMessageError/,
    create: publishing(async (memory, key, payload, options) => {
      try {
        await memory.publish(key, payload, options);
      } catch {
        throw new Error('Invalid message');
      }
    }),
  },
  {
    defect: 'waits for its consumers when it is closed',
    caughtBy: 'rule 11: close() waits for nobody: not for a delivery that is out, not for a next() that waits',
    saying: /Waited \d+ ms for close\(\) to resolve/,
    create: wrap((_, memory) => ({
      close: async () => {
        await memory.close();
        await memory.join();
      },
    })),
  },
  {
    defect: 'can be closed once only',
    caughtBy: 'rule 11: ten calls of close() at once, and one more, all resolve',
    saying: /already closed/,
    create: wrap((_, memory) => {
      let closed = false;
      return {
        close: async () => {
          if (closed) throw new Error('The connection is already closed');
          closed = true;
          await memory.close();
        },
      };
    }),
  },
  {
    defect: 'takes messages after it was closed',
    caughtBy: 'rule 11: after close(), publish() rejects with QueueClosedError',
    saying: /Expected publish\(\) after close\(\) to reject, but it resolved/,
    create: wrap(() => ({ close: async () => {} })),
  },
  {
    defect: 'does not end its streams when it is closed',
    caughtBy: 'rule 11: streams of a closed queue end, those that were there and those that come later',
    saying: /Waited \d+ ms for the streams to complete/,
    create: wrap(() => ({ close: async () => {} })),
  },
  {
    defect: 'promises that streams end at once, and drains them',
    caughtBy:
      'rule 11: streams end at once, though something is out; what is settled then is settled or not, and says so',
    saying: /Waited \d+ ms for the stream to complete/,
    capabilities: { close: 'at once' },
    create: (memory) => memory,
  },
  {
    defect: 'keeps a heartbeat after it was closed',
    caughtBy: 'rule 11: after close() nothing is left that keeps the process alive',
    saying: /timers and connections to go; there are Timeout/,
    create: wrap((_, memory) => {
      const heartbeat = setInterval(() => {}, 1000);
      // Not for ever: the tests have to end.
      return { close: async () => void memory.close().then(() => setTimeout(() => clearInterval(heartbeat), 1000)) };
    }),
  },
  {
    defect: 'starves the event loop',
    caughtBy: 'rule 13: a timer goes on firing while messages that nobody takes are published one after the other',
    saying: /starves the event loop/,
    create: publishing((memory, key, payload, options) => {
      // Without its promise, which waits for a macrotask now and then.
      memory.publish(key, payload, options).catch(() => {});
      return Promise.resolve();
    }),
  },
  {
    defect: 'redelivers in the turn of the nack',
    caughtBy: 'rule 14: after a nack() a subscriber takes its next message in a later macrotask',
    saying: /Expected nothing in the macrotask of the nack\(\)/,
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger, scheduler: new ImpatientScheduler() }),
  },
  {
    defect: 'redelivers in a microtask, again and again',
    caughtBy: 'rule 14: a timer goes on firing while two subscribers nack a message to and fro',
    saying: /The redelivery spins: a message that was nacked came 1001 times in one macrotask/,
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger, scheduler: new ImpatientScheduler() }),
  },
  {
    defect: 'redelivers synchronously, again and again',
    caughtBy: 'rule 14: a timer goes on firing while two subscribers nack a message to and fro',
    saying: /The redelivery spins: a message that was nacked came 1001 times in one macrotask/,
    create: streaming(
      (deliveries) =>
        new Observable((subscriber) =>
          deliveries.subscribe((delivery) => {
            for (let again = true; again; ) {
              again = false;
              const nack = async () => {
                again = true;
                return true;
              };
              subscriber.next(changed(delivery, { nack }));
            }
          }),
        ),
    ),
  },
];

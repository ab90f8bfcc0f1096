import { asyncScheduler, Observable, type SchedulerAction, Subscription, VirtualTimeScheduler } from 'rxjs';
import { MemoryBackend } from 'sluice';
import { silentLogger } from '../recording-logger.js';
import { type Broken, changed, publishing, streaming, wrap } from './wrapped.js';

/** Runs work in a microtask that should run in a macrotask. */
class MicrotaskScheduler extends VirtualTimeScheduler {
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

/** Backends with defects in publish, close or the event loop. */
export const ending: readonly Broken[] = [
  {
    defect: 'enqueues a message whose signal was already aborted',
    caughtBy: 'rule 4: a publish with an aborted signal rejects with its reason and enqueues nothing',
    saying: /Expected deliveries of \[2\], got \[1/,
    create: publishing(async (memory, key, payload, { signal, ...options } = {}) => {
      await memory.publish(key, payload, options);
      signal?.throwIfAborted();
    }),
  },
  {
    defect: 'reads the headers after publish() has returned',
    caughtBy: 'rule 4: publish() copies its headers and options before it returns',
    saying: /'after'/,
    create: publishing(async (memory, key, payload, { headers, ...options } = {}) => {
      await Promise.resolve();
      await memory.publish(key, payload, headers === undefined ? options : { ...options, headers });
    }),
  },
  {
    defect: 'delivers the object of the publisher, though it promises a copy',
    caughtBy: 'rule 4: publish() copies its payload before it returns, and each consumer gets its own copy',
    saying: /99/,
    capabilities: { validation: 'json' },
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger }),
  },
  {
    defect: 'leaves a listener on the signal of each publish',
    caughtBy: 'rule 12: a finished publish leaves no listener on its signal',
    saying: /the listeners of publish\(\) to be removed/,
    create: publishing((memory, key, payload, options) => {
      options?.signal?.addEventListener('abort', () => {});
      return memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'throws instead of rejecting',
    caughtBy: 'rule 5: an invalid key is refused with an InvalidMessageError',
    saying: /but it threw/,
    create: publishing((memory, key, payload, options) => {
      if (typeof key !== 'string' || key === '') throw new TypeError('bad key');
      return memory.publish(key, payload, options);
    }),
  },
  {
    defect: 'sends payloads that JSON has changed',
    caughtBy: 'rule 5: a value that JSON would change is refused with an InvalidMessageError that names the path',
    saying: /Expected publish\(\) of a Date in the payload to reject/,
    capabilities: { validation: 'json' },
    create: publishing((memory, key, payload, options) =>
      memory.publish(key, JSON.parse(JSON.stringify(payload)) as object, options),
    ),
  },
  {
    defect: 'does not name the path in its errors',
    caughtBy: 'rule 5: invalid headers are refused with an InvalidMessageError that names the path',
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
    defect: 'waits for its consumers in close()',
    caughtBy: 'rule 11: close() waits neither for a delivery in flight nor for a waiting next()',
    saying: /Waited \d+ ms for close\(\) to resolve/,
    create: wrap((_, memory) => ({
      close: async () => {
        await memory.close();
        await memory.join();
      },
    })),
  },
  {
    defect: 'rejects a second close()',
    caughtBy: 'rule 11: close() is idempotent: ten concurrent calls and a later one resolve',
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
    defect: 'accepts messages after close()',
    caughtBy: 'rule 11: after close(), publish() rejects with QueueClosedError',
    saying: /Expected publish\(\) after close\(\) to reject, but it resolved/,
    create: wrap(() => ({ close: async () => {} })),
  },
  {
    defect: 'does not end its streams at close()',
    caughtBy: 'rule 11: streams of a closed queue end, whether they began before close() or after it',
    saying: /Waited \d+ ms for the streams to complete/,
    create: wrap(() => ({ close: async () => {} })),
  },
  {
    defect: 'drains streams that it promises to end at once',
    caughtBy: 'rule 11: close() ends streams at once, and later settlements resolve to false',
    saying: /Waited \d+ ms for the stream to complete/,
    capabilities: { close: 'at once' },
    create: (memory) => memory,
  },
  {
    defect: 'keeps a heartbeat after close()',
    caughtBy: 'rule 11: after close() nothing keeps the process alive',
    saying: /timers and connections to be freed: Timeout/,
    create: wrap((_, memory) => {
      const heartbeat = setInterval(() => {}, 1000);
      // Ends later, so that the test process can exit.
      return { close: async () => void memory.close().then(() => setTimeout(() => clearInterval(heartbeat), 1000)) };
    }),
  },
  {
    defect: 'starves the event loop',
    caughtBy: 'rule 13: timers fire while a publisher without a consumer awaits each publish',
    saying: /starves the event loop/,
    create: publishing((memory, key, payload, options) => {
      // The promise of the queue would wait for a macrotask now and then.
      memory.publish(key, payload, options).catch(() => {});
      return Promise.resolve();
    }),
  },
  {
    defect: 'redelivers in the same macrotask as the nack',
    caughtBy: 'rule 14: after a nack() a subscriber takes its next message in a later macrotask',
    saying: /Expected no delivery in the macrotask of the nack\(\)/,
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger, scheduler: new MicrotaskScheduler() }),
  },
  {
    defect: 'redelivers in microtasks without end',
    caughtBy: 'rule 14: timers fire while two subscribers nack one message in turn',
    saying: /The redelivery spins: a nacked message was redelivered 1001 times in one macrotask/,
    create: ({ name }) => new MemoryBackend({ name, logger: silentLogger, scheduler: new MicrotaskScheduler() }),
  },
  {
    defect: 'redelivers synchronously without end',
    caughtBy: 'rule 14: timers fire while two subscribers nack one message in turn',
    saying: /The redelivery spins: a nacked message was redelivered 1001 times in one macrotask/,
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

import type { Observable } from 'rxjs';
import type * as Sluice from 'sluice';
import type { ConsumeOptions, MemoryBackend, MemoryBackendOptions, PublishOptions, QueueBackend } from 'sluice';
import { ObservedQueue } from './observed-queue.js';
import type { Snapshot } from './snapshot.js';
import { Lane } from './tracking.js';

/** Watches queues for the live picture, by their public members only. */
export interface Observer {
  /**
   * Returns the queue, observed: another object that behaves like it. The same queue gives the same
   * object.
   * @param options those of the queue: it does not tell its capacity and its groups before its first
   * use
   */
  observe(queue: MemoryBackend, options?: MemoryBackendOptions): MemoryBackend;
  snapshot(): Promise<Snapshot>;
  /** Called whenever something has changed, within the call that changed it. */
  onChange: () => void;
}

/**
 * Creates an observer.
 *
 * An observed queue behaves as it does without an observer: what takes effect within a call still
 * does, no promise is replaced, and no timer is started.
 *
 * @param sluice the library whose queues it observes
 * @param now the virtual time since the start of the program, in milliseconds
 */
export function createObserver(sluice: Pick<typeof Sluice, 'intercept'>, now: () => number): Observer {
  const queues: ObservedQueue[] = [];
  const proxies = new WeakMap<object, MemoryBackend>();
  let consumers = 0;
  let lastTime = Number.NaN;
  const nextConsumer = () => ++consumers;
  const observer: Observer = {
    onChange: () => {},
    observe(queue, options) {
      const known = proxies.get(queue);
      if (known !== undefined) return known;
      const observed = new ObservedQueue(queue, options ?? {}, queues, () => observer.onChange());
      queues.push(observed);
      const proxy = observedQueue(sluice.intercept, queue, observed, nextConsumer);
      proxies.set(queue, proxy).set(proxy, proxy);
      return proxy;
    },
    async snapshot() {
      await Promise.all(queues.map((queue) => queue.prepare()));
      // All counts and dots are of this moment: the promises below wait for nothing else.
      const time = now();
      const views = await Promise.all(queues.map((queue) => queue.view(time)));
      // While messages are delayed, the picture also changes with the time.
      if (time !== lastTime && views.some(({ groups }) => groups.some((group) => group.delayedCount > 0)))
        observer.onChange();
      lastTime = time;
      return { now: time, queues: views };
    },
  };
  return observer;
}

function observedQueue(
  intercept: typeof Sluice.intercept,
  queue: MemoryBackend,
  observed: ObservedQueue,
  nextConsumer: () => number,
): MemoryBackend {
  /** The queue of one consumer. */
  const queueOf = (options: ConsumeOptions | undefined): QueueBackend => {
    // The queue refuses invalid options.
    queue.deliveries(options);
    const lane = new Lane(observed.groupOf(options?.group));
    const deliveries = (given?: ConsumeOptions) => {
      const stream = queue.deliveries(given);
      return watchSubscriptions(stream, () => lane.join(stream.prefetch, nextConsumer));
    };
    const { publish, consume } = queue;
    return intercept({ name: queue.name, publish, consume, deliveries } as unknown as QueueBackend, lane.interceptor);
  };
  const own: Record<PropertyKey, unknown> = {
    publish: (key: string, payload: object, options?: PublishOptions) => observed.publish(key, payload, options),
    deliveries: (options?: ConsumeOptions) => queueOf(options).deliveries(options),
    consume: (options?: ConsumeOptions) => queueOf(options).consume(options),
  };
  const bound = new Map<PropertyKey, { readonly of: unknown; readonly method: unknown }>();
  return new Proxy(queue, {
    get(target, name) {
      if (Object.hasOwn(own, name)) return own[name];
      // Private members belong to the queue itself.
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== 'function' || name === 'constructor') return value;
      let member = bound.get(name);
      if (member?.of !== value) {
        member = { of: value, method: value.bind(target) };
        bound.set(name, member);
      }
      return member.method;
    },
    set: (target, name, value) => Reflect.set(target, name, value, target),
  });
}

/**
 * Returns a stream whose subscriptions are noticed, also those of the streams that it makes for
 * operators of the library.
 * @param onStart returns what to call when the subscription has ended
 */
function watchSubscriptions<Stream extends Observable<unknown>>(stream: Stream, onStart: () => () => void): Stream {
  const subscribe = (...observer: Parameters<Stream['subscribe']>) => {
    const onEnd = onStart();
    const subscription = stream.subscribe(...observer);
    subscription.add(onEnd);
    return subscription;
  };
  return new Proxy(stream, {
    get(target, name) {
      if (name === 'subscribe') return subscribe;
      const value: unknown = Reflect.get(target, name, target);
      if (typeof name !== 'symbol' || typeof value !== 'function') return value;
      return (...args: unknown[]) => {
        const result: unknown = value.apply(target, args);
        return isObservable(result) ? watchSubscriptions(result, onStart) : result;
      };
    },
  });
}

function isObservable(value: unknown): value is Observable<unknown> {
  return typeof (value as Partial<Observable<unknown>> | null)?.subscribe === 'function';
}

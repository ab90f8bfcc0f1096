import { map, Observable } from 'rxjs';
import type {
  ConsumeOptions,
  Delivery,
  DeliveryStream,
  MemoryBackend,
  PublishArguments,
  PublishOptions,
  QueueBackend,
  QueuePayload,
  QueueStats,
  StatsOptions,
} from 'sluice';
import type { BackendCapabilities, BackendNeeds } from 'sluice/testing';

/** A backend with one defect, and the case that catches it. */
export interface Broken {
  readonly defect: string;
  /** The name of the case. */
  readonly caughtBy: string;
  /** Matches the failure, so that the case fails because of the defect. */
  readonly saying: RegExp;
  readonly create: (memory: MemoryBackend, needs: BackendNeeds) => QueueBackend;
  /** Capabilities beyond those of every broken backend. */
  readonly capabilities?: BackendCapabilities;
}

/** Delegates everything to a `MemoryBackend`. A defect overrides one method. */
export class Wrapped implements QueueBackend {
  readonly memory: MemoryBackend;

  constructor(memory: MemoryBackend) {
    this.memory = memory;
  }

  get name(): string {
    return this.memory.name;
  }

  publish(...message: PublishArguments): Promise<void> {
    return this.memory.publish(...message);
  }

  consume(options?: ConsumeOptions): AsyncIterableIterator<QueuePayload> {
    return this.memory.consume(options);
  }

  deliveries(options?: ConsumeOptions): DeliveryStream {
    return this.memory.deliveries(options);
  }

  stats(options?: StatsOptions): Promise<QueueStats> {
    return this.memory.stats(options);
  }

  close(): Promise<void> {
    return this.memory.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Wraps a backend and replaces some of its methods. */
export function wrap(
  change: (wrapped: Wrapped, memory: MemoryBackend) => Partial<QueueBackend>,
): (memory: MemoryBackend) => QueueBackend {
  return (memory) => {
    const wrapped = new Wrapped(memory);
    return Object.assign(wrapped, change(wrapped, memory));
  };
}

/** Replaces `publish()`. */
export function publishing(
  publish: (memory: MemoryBackend, key: string, payload: object, options?: PublishOptions) => Promise<void>,
) {
  return wrap((_, memory) => ({
    publish: (key: string, payload: object, options?: PublishOptions) => publish(memory, key, payload, options),
  }));
}

/** Changes the streams of the backend. Loops do not change. */
export function streaming(
  change: (deliveries: Observable<Delivery>, options: ConsumeOptions, memory: MemoryBackend) => Observable<Delivery>,
) {
  return wrap((_, memory) => ({
    deliveries: (options: ConsumeOptions = {}) => {
      const stream = memory.deliveries(options);
      return asStream(change(stream, options, memory), stream);
    },
  }));
}

/** Changes the deliveries of streams. Loops do not change. */
export function delivering(change: (delivery: Delivery) => Partial<Delivery>): (memory: MemoryBackend) => QueueBackend {
  return streaming((deliveries) => deliveries.pipe(map((delivery) => changed(delivery, change(delivery)))));
}

/** Turns an Observable into a stream with the iterator and the prefetch of another stream. */
export function asStream(deliveries: Observable<Delivery>, like: DeliveryStream): DeliveryStream {
  const observable = new Observable<Delivery>((subscriber) => deliveries.subscribe(subscriber));
  return Object.assign(observable, {
    prefetch: like.prefetch,
    [Symbol.asyncIterator]: () => like[Symbol.asyncIterator](),
  });
}

/** Returns a delivery with some other properties. */
export function changed(delivery: Delivery, change: Partial<Delivery>): Delivery {
  return new Proxy(delivery, {
    get: (target, name) => {
      if (name in change) return change[name as keyof Delivery];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

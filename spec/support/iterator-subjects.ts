import { ReplaySubject } from 'rxjs';
import { type ConsumeOptions, type Delivery, MemoryBackend, toAsyncBatches, toAsyncIterable } from 'sluice';
import { type FullIterator, full, numberOf, pull } from './consumers.js';
import { silentLogger } from './recording-logger.js';

/** An async iterator of numbers and the source behind it. */
export interface IteratorSubject {
  readonly iterator: FullIterator<unknown>;
  /** Returns the number in a result of `next()`. */
  read(value: unknown): number;
  push(n: number): void;
  complete(): void;
  /** Fails the source, if it can fail. */
  fail?(error: Error): void;
  /** Whether the iterator is subscribed to its source or has a message in flight. */
  connected(): boolean;
  /** Returns what the source still holds after the end, if it keeps undelivered values. */
  rest?(): Promise<number[]>;
  /** The number of unsettled messages. */
  unfinished?(): number;
}

export interface IteratorCase {
  readonly name: string;
  /** Whether ending the iterator early requeues the last value. Otherwise, it is acknowledged. */
  readonly givesBackLast: boolean;
  create(signal?: AbortSignal): IteratorSubject;
}

function overSubject(
  make: (source: ReplaySubject<number>, signal: AbortSignal | undefined) => AsyncIterator<unknown>,
): IteratorCase['create'] {
  return (signal) => {
    const source = new ReplaySubject<number>();
    return {
      iterator: full(make(source, signal)),
      read: (value) => (Array.isArray(value) ? value[0] : value) as number,
      push: (n) => source.next(n),
      complete: () => source.complete(),
      fail: (error) => source.error(error),
      connected: () => source.observed,
    };
  };
}

function overQueue(
  iterate: (queue: MemoryBackend, options: ConsumeOptions) => AsyncIterator<object>,
  read: (value: unknown) => number,
): IteratorCase['create'] {
  return (signal) => {
    const queue = new MemoryBackend({ logger: silentLogger });
    return {
      iterator: full<unknown>(iterate(queue, { signal })),
      read,
      push: (n) => {
        // A publish after `close` is refused. These tests do not check that.
        queue.publish('number', { n }).catch(() => {});
      },
      complete: () => void queue.close(),
      connected: () => queue.inFlight > 0,
      rest: async () => {
        const count = queue.size;
        const others = queue.consume();
        const rest = (await pull(others, count)).map(numberOf);
        await others.return?.();
        return rest;
      },
      unfinished: () => queue.unfinished,
    };
  };
}

const readPayload = (value: unknown): number => numberOf(value as object);
const readDelivery = (value: unknown): number => numberOf((value as Delivery).payload);

/** Every API that returns an async iterator. All must follow the iterator protocol. */
export const ITERATOR_CASES: readonly IteratorCase[] = [
  {
    name: 'toAsyncIterable',
    givesBackLast: false,
    create: overSubject((source, signal) => toAsyncIterable(source, { signal })),
  },
  {
    name: 'toAsyncBatches',
    givesBackLast: false,
    create: overSubject((source, signal) => toAsyncBatches(source, { signal, maxSize: 1 })),
  },
  {
    name: 'consume() with prefetch 1',
    givesBackLast: false,
    create: overQueue((queue, options) => queue.consume({ ...options, prefetch: 1 }), readPayload),
  },
  {
    name: 'consume() with prefetch 8',
    givesBackLast: false,
    create: overQueue((queue, options) => queue.consume({ ...options, prefetch: 8 }), readPayload),
  },
  {
    name: 'iteration of deliveries()',
    givesBackLast: true,
    create: overQueue((queue, options) => queue.deliveries(options)[Symbol.asyncIterator](), readDelivery),
  },
  {
    name: 'iteration of deliveries() with prefetch 8',
    givesBackLast: true,
    create: overQueue(
      (queue, options) => queue.deliveries({ ...options, prefetch: 8 })[Symbol.asyncIterator](),
      readDelivery,
    ),
  },
];

import type { Subscription } from 'rxjs';
import type { ConsumeOptions, Delivery, MemoryBackend, QueueBackend } from 'sluice';

/** An iterator with all the methods that the iterators of this library have. */
export type FullIterator<Value> = Required<AsyncIterableIterator<Value, unknown, unknown>> & AsyncDisposable;

export function full<Value>(iterator: AsyncIterator<Value>): FullIterator<Value> {
  return iterator as FullIterator<Value>;
}

/** The payload that tests publish. */
interface Numbered {
  readonly n: number;
}

export function numberOf(payload: object | undefined): number {
  return (payload as Numbered).n;
}

/** Publishes `{ n }` for each number, without waiting. */
export function publishAll(queue: MemoryBackend, numbers: readonly number[]): Promise<void>[] {
  return numbers.map((n) => queue.publish('number', { n }));
}

/** Returns the numbers from 1 to `count`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** Returns the values of the next `count` calls of `next()`, which run one after another. */
export async function pull<Value>(iterator: AsyncIterator<Value>, count: number): Promise<Value[]> {
  const values: Value[] = [];
  while (values.length < count) {
    const { done, value } = await iterator.next();
    if (done) throw new Error(`The iterator ended after ${values.length} values`);
    values.push(value);
  }
  return values;
}

/** Returns all values of an iterable. */
export async function drain<Value>(iterable: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const value of iterable) values.push(value);
  return values;
}

/** Subscribes to deliveries and collects them without settling them. */
export class Holder {
  readonly deliveries: Delivery[] = [];
  completed = false;
  error: unknown;
  readonly subscription: Subscription;

  constructor(queue: QueueBackend, options?: ConsumeOptions, onNext?: (delivery: Delivery) => void) {
    this.subscription = queue.deliveries(options).subscribe({
      next: (delivery) => {
        this.deliveries.push(delivery);
        onNext?.(delivery);
      },
      error: (error: unknown) => {
        this.error = error;
      },
      complete: () => {
        this.completed = true;
      },
    });
  }

  /** The numbers that were delivered, in order. */
  get numbers(): number[] {
    return this.deliveries.map(({ payload }) => numberOf(payload));
  }

  /** The number and attempt of each delivery. */
  get attempts(): [n: number, attempt: number][] {
    return this.deliveries.map(({ payload, attempt }) => [numberOf(payload), attempt]);
  }

  /** The unsettled deliveries. */
  get held(): Delivery[] {
    return this.deliveries.filter(({ settled }) => settled === false);
  }

  /** Returns the latest delivery of a number. */
  of(n: number): Delivery {
    const delivery = this.deliveries.findLast(({ payload }) => numberOf(payload) === n);
    if (delivery === undefined) throw new Error(`${n} was never delivered`);
    return delivery;
  }
}

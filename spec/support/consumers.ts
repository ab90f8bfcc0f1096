import type { Subscription } from 'rxjs';
import type { ConsumeOptions, Delivery, MemoryBackend, QueueBackend } from 'sluice';

/** An iterator as every face of the queue and of the bridge hands it out: with all its methods. */
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

/** 1 to `count`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1);
}

/** The values of the next `count` calls of `next()`, one after the other. */
export async function pull<Value>(iterator: AsyncIterator<Value>, count: number): Promise<Value[]> {
  const values: Value[] = [];
  while (values.length < count) {
    const { done, value } = await iterator.next();
    if (done) throw new Error(`The iterator ended after ${values.length} values`);
    values.push(value);
  }
  return values;
}

/** All values, to the end. */
export async function drain<Value>(iterable: AsyncIterable<Value>): Promise<Value[]> {
  const values: Value[] = [];
  for await (const value of iterable) values.push(value);
  return values;
}

/** A subscriber to deliveries that keeps what it gets and settles nothing. */
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

  /** Number and attempt of each delivery. */
  get attempts(): [n: number, attempt: number][] {
    return this.deliveries.map(({ payload, attempt }) => [numberOf(payload), attempt]);
  }

  /** The deliveries that are out. */
  get held(): Delivery[] {
    return this.deliveries.filter(({ settled }) => settled === false);
  }

  /** The latest delivery of a number. */
  of(n: number): Delivery {
    const delivery = this.deliveries.findLast(({ payload }) => numberOf(payload) === n);
    if (delivery === undefined) throw new Error(`${n} was never delivered`);
    return delivery;
  }
}

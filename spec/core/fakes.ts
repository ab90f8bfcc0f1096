import { Observable, type Subscriber, type Subscription } from 'rxjs';
import type { Delivery } from '../../src/backend.js';
import { Credit } from '../../src/bridge/credit.js';
import type { CreditIntake } from '../../src/bridge/delivery-stream.js';
import type { Message } from '../../src/core/envelope.js';
import { turns } from '../support/promises.js';

/** Fakes timers and `performance.now()`, but not the end of a turn. */
export function fakeTime(): void {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'] });
}

/** Advances the time timer by timer and runs everything that each timer starts. */
export async function pass(milliseconds: number): Promise<void> {
  let over = false;
  await turns(1);
  setTimeout(() => {
    over = true;
  }, milliseconds);
  while (!over) {
    jest.advanceTimersToNextTimer();
    await turns(1);
  }
}

/** A message as an engine delivers it. */
export function messageOf(id: string, attempt = 1): Message {
  return { id, key: 'key', payload: { id }, headers: {}, attempt, publishedAt: 1_700_000_000_000 };
}

/** An AbortController with a bound `abort`. */
export class Abort extends AbortController {
  override readonly abort = (reason?: unknown): void => super.abort(reason);
}

/** A subscriber with its own signal that records the ids it receives. */
export class Customer extends Abort {
  readonly seen: string[] = [];
  readonly subscription: Subscription;
  readonly credit: Credit;

  constructor(
    owner: { connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): void },
    readonly prefetch: number,
    onComplete?: () => void,
  ) {
    super();
    this.credit = new Credit(prefetch);
    const { signal, credit } = this;
    const stream = new Observable<Delivery>((subscriber) =>
      owner.connect(subscriber, { group: 'default', prefetch, signal, credit }),
    );
    this.subscription = stream.subscribe({
      next: ({ id }) => this.seen.push(id),
      error: (error: unknown) => this.seen.push(`failed: ${error}`),
      complete: () => {
        this.seen.push('complete');
        onComplete?.();
      },
    });
  }
}

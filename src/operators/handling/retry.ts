import { type SchedulerLike, Subscription } from 'rxjs';
import type { Delivery } from '../../backend.js';
import { after } from '../../internal/after.js';
import { fieldsOf, nameOf } from '../../internal/delivery-log.js';
import { deliveryRecord, inspectCustom } from '../../internal/delivery-symbols.js';
import { describe, describeError } from '../../internal/describe.js';
import { isMilliseconds } from '../../internal/options.js';
import type { CheckedHandleOptions } from '../handle-options.js';
import type { Attempt, Failure } from './attempt.js';

/** The delay before a retry if `retry.delay` fails to return one, in milliseconds. */
const FALLBACK_DELAY = 1000;

/** Returns the delay before a retry, in milliseconds. */
export function retryDelay(
  options: CheckedHandleOptions,
  delivery: Delivery,
  error: unknown,
  retryCount: number,
): number {
  let problem: string;
  try {
    const delay: unknown = options.retryDelay(error, retryCount, delivery);
    if (isMilliseconds(delay)) return delay;
    problem = `returned ${describe(delay)}`;
  } catch (thrown) {
    problem = `threw ${describeError(thrown)}`;
  }
  options.logger.error(
    `\`retry.delay\` must return a number of milliseconds >= 0, but ${problem} for ${nameOf(delivery)}; retrying in ${FALLBACK_DELAY} ms`,
    fieldsOf(delivery),
  );
  return FALLBACK_DELAY;
}

/** An attempt that waits to be retried in place. */
export interface WaitingRetry {
  readonly attempt: Attempt;
  /** How long its handler ran, in milliseconds. */
  readonly duration: number;
  readonly failure: Failure;
}

/** The timers of the attempts that are retried in place. */
export class RetryTimers {
  readonly #scheduler: SchedulerLike;
  readonly #timers = new Map<WaitingRetry, Subscription>();

  constructor(scheduler: SchedulerLike) {
    this.#scheduler = scheduler;
  }

  get size(): number {
    return this.#timers.size;
  }

  start(retry: WaitingRetry, delay: number, onDue: () => void): void {
    const timer = new Subscription();
    this.#timers.set(retry, timer);
    const task = () => {
      this.#timers.delete(retry);
      onDue();
    };
    // Some schedulers run a task without delay within the call.
    timer.add(after(this.#scheduler, delay, task));
  }

  /** Cancels the timers, one by one, and returns the attempts that waited. */
  *cancel(): Generator<WaitingRetry, void> {
    for (const [retry, timer] of this.#timers) {
      timer.unsubscribe();
      this.#timers.delete(retry);
      yield retry;
    }
  }
}

const ORIGINAL = Symbol('original');

/**
 * Returns a view of a delivery that is retried in place, with `attempt + 1`, as if it were
 * redelivered.
 *
 * A proxy, so that the view has whatever the delivery of any engine has. Methods run on the
 * original, since they may use private members.
 */
export function nextTry(delivery: Delivery): Delivery {
  // Views are not nested: a message may be retried without end.
  const original = (delivery as { [ORIGINAL]?: Delivery })[ORIGINAL] ?? delivery;
  const attempt = delivery.attempt + 1;
  const record = () => ({ ...deliveryRecord(original), attempt });
  const own = { attempt, [ORIGINAL]: original, toJSON: record, [inspectCustom]: record };
  const view = Object.create(original, Object.getOwnPropertyDescriptors(own)) as Delivery;
  return new Proxy(view, {
    get(_, name) {
      if (Object.hasOwn(view, name)) return Reflect.get(view, name);
      const value = Reflect.get(original, name);
      return typeof value === 'function' ? value.bind(original) : value;
    },
  });
}

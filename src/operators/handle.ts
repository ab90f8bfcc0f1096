import { Observable, type OperatorFunction } from 'rxjs';
import type { Delivery, DeliveryStream } from '../backend.js';
import { Credit, withCredit } from '../bridge/credit.js';
import { forHandler } from '../bridge/for-handler.js';
import { inContext } from '../internal/async-context.js';
import { checkObservable, toOwnObservable } from '../internal/observables.js';
import { checkFunction } from '../internal/options.js';
import type { AnyDelivery } from '../internal/outcome.js';
import {
  bindHandleOptions,
  type CheckedHandleOptions,
  checkHandleOptions,
  type HandleOptions,
  type Handler,
  type HandlerOutput,
  type PrefetchController,
} from './handle-options.js';
import { Handling } from './handling/handling.js';
import { warnOfPrefetch } from './prefetch.js';

/**
 * Runs a handler for each delivery, and acknowledges or retries the delivery by the handler's
 * result.
 *
 * The handler may return nothing, a value, a promise, an Observable or an async iterable. `handle`
 * emits its results: a value, or the value of a promise, after the delivery is acknowledged; the
 * values of an Observable or an async iterable as they arrive. A failed message is retried up to
 * `retry.count` times. Then it is dead-lettered, or rejected and logged. If the handler settles its
 * delivery itself, `handle` does not. A failing message never ends the stream. An error of the
 * source ends it after the running handlers have finished.
 *
 * ```text
 * source     a---b---c-------|
 *            handle(async (delivery) => …, { concurrency: 2 })
 * output     -----A---B---C--|
 * ```
 *
 * *When to use*: in a pipeline. For a long-running service, use `AsyncLoopConsumer`: the same with
 * `run()` and `shutdown()`.
 *
 * *Gotchas*: delivery is at least once. A handler may get a message again that it has finished, so
 * make it idempotent. With a `concurrency` above 1, only `orderBy` keeps an order. The `prefetch`
 * of the stream should be at least the `concurrency`. With `orderBy` it should be more: deliveries
 * that wait behind others of their key, or for a retry, keep their credit.
 *
 * To stop, abort `signal`: running handlers finish, everything else is released, and the stream
 * completes. Unsubscribing also aborts the running handlers and releases their messages. Neither
 * uses up a message's retries, unless the broker counts the releases of another process.
 *
 * The handler, the functions of the options and the downstream subscriber run in the
 * `AsyncLocalStorage` context of the subscription, never in that of a publisher.
 *
 * With a `deliveryLimit`, apply `handle` directly to the stream. After another operator, it cannot
 * pause the intake while it runs a message alone.
 *
 * @example
 * ```ts
 * queue
 *   .deliveries({ prefetch: 16 })
 *   .pipe(handle(async ({ payload }, { signal }) => charge(payload, { signal }), { concurrency: 8, timeout: 5000, deadLetter: failed }))
 *   .subscribe((receipt) => console.log(receipt));
 * ```
 * @throws {TypeError | RangeError} if the handler or an option is invalid. The message names it.
 */
export function handle<Item extends AnyDelivery, Result>(
  handler: Handler<Item, Result>,
  options?: HandleOptions<Item>,
): OperatorFunction<Item, HandlerOutput<Result>> {
  checkFunction('handler', handler);
  return handleChecked(
    handler as unknown as Handler,
    checkHandleOptions(options as HandleOptions | undefined),
  ) as unknown as OperatorFunction<Item, HandlerOutput<Result>>;
}

/**
 * Makes the operator from options that are already validated.
 * @param controlPrefetch makes the controller of a subscription's credit; undefined keeps the
 * `prefetch` of the stream
 */
export function handleChecked(
  handler: Handler,
  options: CheckedHandleOptions,
  controlPrefetch?: (credit: Credit) => PrefetchController,
): OperatorFunction<Delivery, unknown> {
  const { concurrency, logger, deliveryLimit } = options;
  const changesCredit = controlPrefetch !== undefined || deliveryLimit !== Number.POSITIVE_INFINITY;
  const warn = warnOfPrefetch('concurrency', concurrency, 'fewer handlers run at a time', logger);
  return (source) => {
    const deliveries = checkObservable<Delivery>('source', source);
    warn(source);
    return new Observable((subscriber) => {
      const bound = bindHandleOptions(options);
      const downstream = inContext(subscriber, bound.context);
      const credit = new Credit((source as DeliveryStream).prefetch);
      const own = forHandler(source);
      // Also if the credit never changes: the stream reports a subscriber without a credit as
      // stalled, and handlers may run long.
      const stream = withCredit(own, credit);
      const connected = toOwnObservable<Delivery>(stream ?? (own === source ? deliveries : own));
      if (stream === undefined || !changesCredit) new Handling(downstream, handler, bound).connect(connected);
      else new Handling(downstream, handler, bound, credit, controlPrefetch?.(credit)).connect(connected);
    });
  };
}

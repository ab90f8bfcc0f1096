import { Observable, type OperatorFunction } from 'rxjs';
import type { Delivery, DeliveryStream } from '../backend.js';
import { Credit, withCredit } from '../bridge/credit.js';
import { inContext } from '../internal/async-context.js';
import { checkObservable, toOwnObservable } from '../internal/observables.js';
import { checkFunction } from '../internal/options.js';
import {
  type AnyDelivery,
  type CheckedHandleOptions,
  checkHandleOptions,
  type HandleOptions,
  type Handler,
  type HandlerOutput,
} from './handle-options.js';
import { bindOptions } from './handling/bound-options.js';
import { Handling } from './handling/handling.js';
import type { Pace } from './handling/pace.js';
import { warnOfPrefetch } from './prefetch.js';

/**
 * Runs a handler over deliveries and settles them for it: to end is to acknowledge, to fail is to be tried again.
 *
 * The handler may return nothing, a value, a promise, an Observable or an async iterable. Results flow downstream: a value and what a promise resolves to
 * once the delivery was acknowledged, the values of an Observable or an async iterable as they come. A failed message is delivered again, up to `retry.count`
 * times, then it goes to `deadLetter`, or is rejected and logged. A handler that settles its delivery by hand is left alone. One bad message never ends the
 * stream; an error of the source ends it, once the handlers that run have finished.
 *
 * ```text
 * source     a---b---c-------|
 *            handle(async (delivery) => …, { concurrency: 2 })
 * output     -----A---B---C--|
 * ```
 *
 * *When to use*: in a pipeline. For a service that runs until it is told to stop, `AsyncLoopConsumer` is the same with a way to stop it.
 *
 * *Gotchas*: at least once: a handler may see a message again, also one that it had finished, so it should be idempotent. With a `concurrency` above 1,
 * order is kept only where `orderBy` says so. Give the stream a `prefetch` of at least the `concurrency`; with `orderBy` of more, since deliveries that wait
 * behind others of their key, or for a retry, keep their credit.
 *
 * To stop, abort `signal`: running handlers finish, everything else goes back to the queue, and the stream completes. Unsubscribing is the hard way: it
 * aborts the signals of the handlers that run, and gives their messages back too. Neither uses up a message's retries, unless the broker counts what another
 * process has given back.
 *
 * The handler, the functions of the options and what is downstream run in the `AsyncLocalStorage` context
 * of the subscription, never in that of a publisher.
 *
 * With a `deliveryLimit`, apply it to the stream itself: with an operator in between, it cannot stop the intake while it runs a message alone.
 *
 * @example
 * ```ts
 * queue
 *   .deliveries({ prefetch: 16 })
 *   .pipe(handle(async ({ payload }, { signal }) => charge(payload, { signal }), { concurrency: 8, timeout: 5000, deadLetter: failed }))
 *   .subscribe((receipt) => console.log(receipt));
 * ```
 * @throws {TypeError | RangeError} for a handler or an option without sense, when the operator is made
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
 * `handle`, with options that were checked before.
 * @param paceOf makes what sets the credit of a subscription; undefined where the `prefetch` of the stream is kept
 */
export function handleChecked(
  handler: Handler,
  options: CheckedHandleOptions,
  paceOf?: (credit: Credit) => Pace,
): OperatorFunction<Delivery, unknown> {
  const { concurrency, logger, deliveryLimit } = options;
  const changesCredit = paceOf !== undefined || deliveryLimit !== Number.POSITIVE_INFINITY;
  const warn = warnOfPrefetch('concurrency', concurrency, 'fewer handlers run at a time than could', logger);
  return (source) => {
    const deliveries = checkObservable<Delivery>('source', source);
    warn(source);
    return new Observable((subscriber) => {
      const bound = bindOptions(options);
      const downstream = inContext(subscriber, bound.context);
      const credit = new Credit((source as DeliveryStream).prefetch);
      // Also if the credit never changes: a stream warns of stalled subscribers that bring no credit, and handlers may take long.
      const stream = withCredit(source, credit);
      const connected = stream === undefined ? deliveries : toOwnObservable(stream);
      if (stream === undefined || !changesCredit) new Handling(downstream, handler, bound).connect(connected);
      else new Handling(downstream, handler, bound, credit, paceOf?.(credit)).connect(connected);
    });
  };
}

import { filter, type MonoTypeOperatorFunction, type OperatorFunction } from 'rxjs';
import type { Delivery } from '../backend.js';
import { keepCredit } from '../bridge/credit.js';
import { answerTo, unawaited } from '../internal/answers.js';
import { interceptionOf } from '../internal/interception.js';
import { checkObservable } from '../internal/observables.js';
import { checkChoice, checkFunction, checkOptions } from '../internal/options.js';
import type { AnyDelivery } from '../internal/outcome.js';

const SETTLEMENTS = ['ack', 'release', 'reject'] as const;

export interface FilterDeliveriesOptions {
  /**
   * How a delivery that does not match is settled. `'ack'`: this group is done with it.
   * `'release'`: it is requeued for another consumer of the group. `'reject'`: it failed for good.
   * Default: `'ack'`.
   */
  readonly otherwise?: (typeof SETTLEMENTS)[number] | undefined;
}

/**
 * Passes on the deliveries that match, and settles the rest.
 *
 * *When to use*: instead of RxJS's `filter`, which drops deliveries without settling them. Each
 * dropped delivery keeps its credit, so the stream stalls after `prefetch` of them.
 *
 * *Gotchas*: with `'release'`, a message that no consumer of the group wants is redelivered again
 * and again, once per macrotask. A predicate that throws ends the stream with its error, as in
 * RxJS; every unsettled delivery is then requeued.
 *
 * @example
 * ```ts
 * queue
 *   .deliveries()
 *   .pipe(
 *     filterDeliveries(({ key }) => key === 'orders.created'),
 *     handle(({ payload }) => charge(payload)),
 *   )
 *   .subscribe();
 * ```
 * @throws {TypeError | RangeError} if the predicate or an option is invalid. The message names it.
 */
export function filterDeliveries<Item extends AnyDelivery, Match extends Item>(
  predicate: (delivery: Item, index: number) => delivery is Match,
  options?: FilterDeliveriesOptions,
): OperatorFunction<Item, Match>;
export function filterDeliveries<Item extends AnyDelivery>(
  predicate: (delivery: Item, index: number) => boolean,
  options?: FilterDeliveriesOptions,
): MonoTypeOperatorFunction<Item>;
export function filterDeliveries(
  predicate: (delivery: Delivery, index: number) => boolean,
  options?: FilterDeliveriesOptions,
): MonoTypeOperatorFunction<Delivery> {
  checkFunction('predicate', predicate);
  const { otherwise = 'ack' } = checkOptions(options);
  checkChoice('otherwise', otherwise, SETTLEMENTS);
  const select = filter((delivery: Delivery, index) => {
    // The attempt fails: the predicate must not see what an interceptor could not convert.
    if (interceptionOf(delivery)?.failure !== undefined) return true;
    if (predicate(delivery, index)) return true;
    if (!delivery.settled) unawaited(answerTo(() => delivery[otherwise]()));
    return false;
  });
  return (source) => keepCredit(source, (stream) => select(checkObservable<Delivery>('source', stream)));
}

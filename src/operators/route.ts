import type { Delivery, DeliveryOf, EventMap, KeyOf, QueueKey } from '../backend.js';
import { SluiceError } from '../errors.js';
import { describe } from '../internal/describe.js';
import { checkFunction, checkOptions } from '../internal/options.js';
import type { AnyDelivery } from '../internal/outcome.js';
import type { Handler } from './handle-options.js';

/** The delivery of one key, of all that `Item` may be. */
type WithKey<Item extends AnyDelivery, Key> =
  Item extends DeliveryOf<infer Keys, infer Payload> ? (Key extends Keys ? DeliveryOf<Key, Payload> : never) : never;

/**
 * A handler per key; `Results` maps each key to what its handler returns. A key that no delivery
 * has gets no handler.
 */
export type Routes<Item extends AnyDelivery, Results> = {
  readonly [Key in keyof Results]: Handler<WithKey<Item, Key>, Results[Key]> | undefined;
} & { readonly [Key in Exclude<Extract<keyof Results, QueueKey>, Item['key']>]: never };

/** A handler for some keys of a map of events. */
export type EventRoutes<Events extends EventMap<Events>, Result = unknown> = {
  readonly [Key in KeyOf<Events>]?: Handler<DeliveryOf<Key, Events[Key]>, Result> | undefined;
};

export interface RouteOptions<Item extends AnyDelivery = Delivery, Result = unknown> {
  /**
   * Handles the deliveries of every other key. Default: they fail, with an error that names the
   * key.
   */
  readonly otherwise?: Handler<Item, Result> | undefined;
}

/**
 * Makes one handler of a handler per key. Each gets deliveries of its key only, with the payload of
 * that event.
 *
 * *When to use*: for a queue with several events, instead of a `switch` over `delivery.key`.
 *
 * *Gotchas*: a key without a handler fails like any other message: it is retried, then
 * dead-lettered. Give `otherwise` to decide yourself, for instance `() => {}` to acknowledge it.
 * Outside of `handle(…)`, name the events: `route<Events>({ … })`. `AsyncLoopConsumer` passes the
 * payload first: `consumer.run((_payload, delivery, context) => handler(delivery, context))`.
 *
 * @example
 * ```ts
 * queue
 *   .deliveries()
 *   .pipe(
 *     handle(
 *       route({
 *         'orders.created': async ({ payload }) => charge(payload),
 *         'orders.cancelled': async ({ payload }, { signal }) => refund(payload, { signal }),
 *       }),
 *     ),
 *   )
 *   .subscribe();
 * ```
 * @throws {TypeError} if a handler or an option is invalid. The message names it.
 */
export function route<Item extends AnyDelivery, Results, Other = never>(
  handlers: Routes<Item, Results>,
  options?: RouteOptions<Item, Other>,
): Handler<Item, Results[keyof Results] | Other>;
export function route<Events extends EventMap<Events>, Result = unknown>(
  // Without events any object would do.
  handlers: [KeyOf<Events>] extends [never] ? never : EventRoutes<Events, Result>,
  options?: RouteOptions<Delivery<Events>, Result>,
): Handler<Delivery<Events>, Result>;
export function route(handlers: Readonly<Record<QueueKey, Handler | undefined>>, options?: RouteOptions): Handler {
  // A map, so that no key finds what every object inherits.
  const routes = new Map(checkedRoutes(handlers));
  const { otherwise = noHandler } = checkOptions(options);
  checkFunction('otherwise', otherwise);
  return (delivery, context) => (routes.get(delivery.key) ?? otherwise)(delivery, context);
}

function checkedRoutes(handlers: Readonly<Record<QueueKey, Handler | undefined>>): [QueueKey, Handler][] {
  if (typeof handlers !== 'object' || handlers === null) {
    throw new TypeError(`Expected \`handlers\` to be an object with a handler per key, got ${describe(handlers)}`);
  }
  return Object.entries(handlers).flatMap(([key, handler]) =>
    handler === undefined ? [] : [[key, checkFunction(`handlers[${JSON.stringify(key)}]`, handler)]],
  );
}

function noHandler({ key }: AnyDelivery): never {
  throw new SluiceError(`\`route\` has no handler for key ${JSON.stringify(key)}: add one, or an \`otherwise\``);
}

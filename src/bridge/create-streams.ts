import type { Subscriber, TeardownLogic } from 'rxjs';
import type {
  AnyEvents,
  ConsumeOptions,
  ConsumerGroup,
  Delivery,
  DeliveryStream,
  EventMap,
  PayloadOf,
} from '../backend.js';
import { checkDeclared } from '../internal/check-message.js';
import { checkConsumeOptions } from './consume-options.js';
import { consumeDeliveries, createDeliveryStream, type DeliverySource, type Intake } from './delivery-stream.js';

/**
 * Delivers to a subscriber until it unsubscribes or the signal aborts, with at most
 * `intake.prefetch` deliveries in flight.
 */
export type ConnectSubscriber = (subscriber: Subscriber<Delivery>, intake: Intake) => TeardownLogic;

/** The declared groups of a queue: `createStreams` refuses consumers of other groups. */
export interface DeclaredGroups {
  readonly name: string;
  /** The groups that the backend declares. */
  readonly groups: readonly ConsumerGroup[];
}

/** The methods of a backend that deliver. */
export interface BackendStreams<Events extends EventMap<Events> = AnyEvents> {
  /**
   * @throws {TypeError | RangeError | ConfigurationError} if an option is invalid, or the group is
   * not declared
   */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events>;
  /**
   * @throws {TypeError | RangeError | ConfigurationError} if an option is invalid, or the group is
   * not declared
   */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable;
}

/**
 * Implements `deliveries()` and `consume()` of a backend from its one way to deliver to a
 * subscriber: streams, loops over them, and the whole async-iterator protocol.
 *
 * *When to use*: to write a backend. The guide "Writing a backend" has a complete one.
 *
 * *Gotchas*: `connect` is called once per subscriber, on subscription, and never with an aborted
 * signal. When the subscriber unsubscribes, the backend requeues its deliveries in flight: in the
 * teardown that `connect` returns, or by `subscriber.add(…)` if it emits before it returns.
 * `subscriber.error` fails a stream, `subscriber.complete` ends it.
 *
 * @param declared the only groups that have consumers. Default: any group
 */
export function createStreams<Events extends EventMap<Events> = AnyEvents>(
  connect: ConnectSubscriber,
  declared?: DeclaredGroups,
): BackendStreams<Events> {
  const source: DeliverySource = {
    obeysCredit: false,
    connect: (subscriber, { group, prefetch, signal }) => {
      if (!signal?.aborted) return connect(subscriber, { group, prefetch, signal });
      subscriber.complete();
      return undefined;
    },
    waitCancelled: () => {},
  };
  const check = (options: ConsumeOptions | undefined) => {
    const checked = checkConsumeOptions(options);
    if (declared !== undefined) checkDeclared(checked.group, declared.groups, declared.name);
    return checked;
  };
  return {
    deliveries: (options) => createDeliveryStream<Events>(source, check(options)),
    consume: (options) => consumeDeliveries(source, check(options)) as ReturnType<BackendStreams<Events>['consume']>,
  };
}

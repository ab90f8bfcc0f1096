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
import { checkDeclared } from '../internal/declared-groups.js';
import { checkConsumeOptions } from './consume-options.js';
import { consumeDeliveries, createDeliveryStream, type DeliverySource, type Intake } from './delivery-stream.js';

/** Delivers to a subscriber until it leaves or the signal aborts: no more unsettled deliveries at a time than `intake.prefetch`. */
export type ConnectSubscriber = (subscriber: Subscriber<Delivery>, intake: Intake) => TeardownLogic;

/** What `createStreams` has to know of the queue to refuse a consumer for a group that is not declared. */
export interface DeclaredGroups {
  /** The name of the queue. */
  readonly name: string;
  /** The groups that the backend declares. */
  readonly groups: readonly ConsumerGroup[];
}

/** The methods of a backend that deliver. */
export interface BackendStreams<Events extends EventMap<Events> = AnyEvents> {
  /** @throws {TypeError | RangeError | ConfigurationError} if an option is invalid, or the group is not declared */
  deliveries(options?: ConsumeOptions): DeliveryStream<Events>;
  /** @throws {TypeError | RangeError | ConfigurationError} if an option is invalid, or the group is not declared */
  consume(options?: ConsumeOptions): AsyncIterableIterator<PayloadOf<Events>> & AsyncDisposable;
}

/**
 * `deliveries()` and `consume()` for a backend, made of its one way to deliver to one subscriber: streams, loops over them and all of the async-iterator
 * protocol.
 *
 * *When to use*: to write a backend. The guide "Writing a backend" has a complete one.
 *
 * *Gotchas*: `connect` is called for each subscriber, and not before there is one; never with a signal that was aborted before. What is out when the
 * subscriber leaves is the backend's to give back: in the teardown that `connect` returns, or by `subscriber.add(…)` if it emits before it returns.
 * The error of a stream is `subscriber.error`, its end `subscriber.complete`.
 *
 * @param declared the only groups that have consumers; without it, any group is taken
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

import { Observable, type Subscriber, type TeardownLogic } from 'rxjs';
import type { ConsumerGroup, Delivery, DeliveryStream, EventMap } from '../backend.js';
import { inContext } from '../internal/async-context.js';
import type { CheckedConsumeOptions } from './consume-options.js';
import { Credit, obeyCredit } from './credit.js';
import { DeliveryIterator } from './delivery-iterator.js';

/** The `prefetch` of a subscriber. */
const DEFAULT_PREFETCH = 32;

/** The `prefetch` of a loop, which works on one delivery at a time. */
const DEFAULT_LOOP_PREFETCH = 1;

export interface Intake {
  readonly group: ConsumerGroup;
  readonly prefetch: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * The intake of a backend that supports credit. The limit of `credit` is the `prefetch`, unless the
 * subscriber changes it.
 */
export interface CreditIntake extends Intake {
  readonly credit: Credit;
  /**
   * Whether to warn when the subscriber stalls. Operators and loops of this library do not.
   * Default: false.
   */
  readonly watched?: boolean | undefined;
}

/** Connects subscribers to the deliveries of a backend. */
export interface DeliverySource {
  /** Whether it obeys a changing credit. */
  readonly obeysCredit: boolean;
  /** Delivers to a subscriber until it unsubscribes or the signal aborts. */
  connect(subscriber: Subscriber<Delivery>, intake: CreditIntake): TeardownLogic;
  /** A loop left while `count` of its calls waited for a message. */
  waitCancelled(count: number): void;
}

/** Creates a stream of deliveries, which is an Observable and an AsyncIterable. */
export function createDeliveryStream<Events extends EventMap<Events>>(
  source: DeliverySource,
  options: CheckedConsumeOptions,
): DeliveryStream<Events> {
  return new DeliveryObservable(source, options) as unknown as DeliveryStream<Events>;
}

class DeliveryObservable extends Observable<Delivery> implements DeliveryStream {
  readonly prefetch: number;
  readonly #source: DeliverySource;
  readonly #options: CheckedConsumeOptions;

  constructor(source: DeliverySource, options: CheckedConsumeOptions) {
    const { group, prefetch = DEFAULT_PREFETCH, signal } = options;
    const connect = (credit: Credit, subscriber: Subscriber<Delivery>, watched: boolean) =>
      source.connect(inContext(subscriber), { group, prefetch, signal, credit, watched });
    super((subscriber) => connect(new Credit(prefetch), subscriber, true));
    if (source.obeysCredit)
      obeyCredit(this, (credit) => new Observable((subscriber) => connect(credit, subscriber, false)));
    this.prefetch = prefetch;
    this.#source = source;
    this.#options = options;
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Delivery> & AsyncDisposable {
    return iterateDeliveries(this.#source, this.#options, { unwrap: (delivery) => delivery, onLeave: 'requeue' });
  }
}

/**
 * Iterates over payloads, for `consume()` of any backend. The loop acknowledges each one when it
 * asks for the next one or leaves.
 */
export function consumeDeliveries(
  source: DeliverySource,
  options: CheckedConsumeOptions,
): AsyncIterableIterator<object> & AsyncDisposable {
  return iterateDeliveries(source, options, { unwrap: ({ payload }) => payload, onLeave: 'ack' });
}

function iterateDeliveries<Item>(
  source: DeliverySource,
  { group, prefetch = DEFAULT_LOOP_PREFETCH, signal }: CheckedConsumeOptions,
  way: { readonly unwrap: (delivery: Delivery) => Item; readonly onLeave: 'ack' | 'requeue' },
): AsyncIterableIterator<Item> & AsyncDisposable {
  return new DeliveryIterator({
    ...way,
    connect: (intake) =>
      new Observable((subscriber) =>
        source.connect(subscriber, { group, prefetch, signal: intake, credit: new Credit(prefetch) }),
      ),
    waitCancelled: (count) => source.waitCancelled(count),
    signal,
  });
}

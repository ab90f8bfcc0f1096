import { Observable } from 'rxjs';
import type { ConsumerGroup, Delivery, QueueBackend, QueuePayload } from '../backend.js';
import { type BaseDelivery, type BaseDeliveryOwner, type Disposition, PlainDelivery } from '../core/base-delivery.js';
import { COUNTED } from '../internal/answers.js';
import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';
import { type Metadata, NO_METADATA } from '../internal/metadata.js';
import { onAbort } from '../internal/on-abort.js';
import { turn } from '../internal/turn.js';

/** A queue without `deliveries()`, such as a hand-made fake. */
export type PayloadQueue = Pick<QueueBackend, 'consume'> & Partial<Pick<QueueBackend, 'name'>>;

export interface PayloadDeliveriesOptions {
  readonly group: ConsumerGroup | undefined;
  /** How many payloads may be in flight. */
  readonly limit: number;
  /** Stops the intake. */
  readonly signal: AbortSignal;
  readonly logger: Logger;
}

/**
 * Turns the payloads of `consume()` into deliveries.
 *
 * `consume()` acknowledges a payload when the next one is requested, and cannot requeue it. So a
 * payload is requested only when a handler is free.
 */
export function payloadDeliveries(queue: PayloadQueue, options: PayloadDeliveriesOptions): Observable<Delivery> {
  const { group, limit, signal, logger } = options;
  const { name = 'unnamed' } = queue;
  const ofQueue = `of queue ${JSON.stringify(name)}`;
  return new Observable((subscriber) => {
    const iterator = queue.consume({ group, signal })[Symbol.asyncIterator]();
    let received = 0;
    let inFlight = 0;
    let requesting = false;
    let ended = false;

    const request = (): void => {
      if (requesting || ended || inFlight >= limit) return;
      requesting = true;
      (async () => iterator.next())().then(receive, (error) => {
        ended = true;
        subscriber.error(error);
      });
    };
    const receive = ({ done, value }: IteratorResult<QueuePayload>): void => {
      requesting = false;
      if (done) end();
      else if (ended)
        logger.warn(`A payload ${ofQueue} is lost: it arrived after its consumer stopped`, { queue: name });
      else {
        inFlight++;
        subscriber.next(new PayloadDelivery(owner, String(++received), value));
        turn.run(request);
      }
    };
    const end = (): void => {
      ended = true;
      subscriber.complete();
    };
    const stop = (): void => {
      if (ended) return;
      end();
      // Whether the iterator keeps a payload that it is about to return is up to it. The queues of
      // this library do.
      (async () => iterator.return?.())().catch((error: unknown) => {
        logger.error(`return() of the iterator ${ofQueue} failed: ${describeError(error)}`, { queue: name, error });
      });
    };
    const owner: PayloadOwner = {
      queueName: name,
      groupName: group,
      settle({ id }, { action }) {
        inFlight--;
        if (action === 'requeue')
          logger.warn(`Payload ${id} ${ofQueue} is lost: a queue without deliveries() cannot requeue it`, {
            queue: name,
            id,
          });
        request();
      },
      rejected: () => {},
      settledAgain: ({ id, settled }) =>
        logger.warn(`Payload ${id} ${ofQueue} was already ${settled}; settling it again has no effect`, {
          queue: name,
          id,
        }),
    };

    const ignoreAbort = onAbort(signal, stop);
    subscriber.add(() => {
      ignoreAbort();
      stop();
    });
    request();
  });
}

interface PayloadOwner extends BaseDeliveryOwner {
  readonly queueName: string;
  settle(delivery: BaseDelivery, disposition: Disposition): void;
}

/** A payload as a delivery. It has no key, no headers and no time of its own. */
class PayloadDelivery extends PlainDelivery {
  readonly queue: string;
  readonly attempt = 1;
  readonly publishedAt = Number.NaN;
  readonly #owner: PayloadOwner;

  constructor(
    owner: PayloadOwner,
    readonly id: string,
    payload: QueuePayload,
  ) {
    super('', payload);
    this.queue = owner.queueName;
    this.#owner = owner;
  }

  protected override get owner(): PayloadOwner {
    return this.#owner;
  }

  protected override get metadata(): Metadata {
    return NO_METADATA;
  }

  protected override send(disposition: Disposition): Promise<boolean> {
    this.#owner.settle(this, disposition);
    return COUNTED;
  }
}

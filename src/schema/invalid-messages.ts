import type { ConsumerGroup, Delivery, QueueBackend } from '../backend.js';
import { InvalidMessageError, UnrecoverableError } from '../errors.js';
import { answerTo, unawaited, whenDone } from '../internal/answers.js';
import { headersOf, LONGEST_ERRORS, textOf } from '../internal/dead-letter-headers.js';
import { logFailure } from '../internal/delivery-log.js';
import { groupOf, isQuarantinable, quarantine, storedOf } from '../internal/delivery-symbols.js';
import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { metadataOf } from '../internal/metadata.js';
import { withoutValues } from './issues.js';

/**
 * Takes an invalid message that was delivered. If it fails, the message is redelivered later. If it
 * fails with an `InvalidMessageError`, the message is quarantined.
 */
export type InvalidMessageFunction = (delivery: Delivery, error: InvalidMessageError) => Promise<void> | void;

/** The destination of invalid messages. */
export type InvalidMessageTarget = Pick<QueueBackend, 'publish'> | InvalidMessageFunction;

const redeliveryDelay = exponentialBackoff();

/** Settles the deliveries of invalid messages, which no subscriber sees. */
export class InvalidMessages {
  readonly #deadLetter: InvalidMessageTarget | undefined;
  readonly #logger: Logger;

  constructor(deadLetter: InvalidMessageTarget | undefined, logger: Logger) {
    this.#deadLetter = deadLetter;
    this.#logger = logger;
  }

  /**
   * Dead-letters a message. The delivery stays in flight until that is done; deliveries after it do
   * not wait.
   * @throws {UnrecoverableError} without a dead-letter queue: the consumer gives the message up
   */
  refuse(delivery: Delivery, error: InvalidMessageError, group: ConsumerGroup): undefined {
    if (this.#deadLetter === undefined) {
      const { message } = error;
      throw new UnrecoverableError(`The message with key ${JSON.stringify(delivery.key)} is invalid: ${message}`, {
        cause: error,
      });
    }
    this.#send(this.#deadLetter, delivery, error, group, 0);
  }

  /** @param refusals how often the queue has refused the message as invalid. Each time, it is shortened. */
  #send(
    deadLetter: InvalidMessageTarget,
    delivery: Delivery,
    error: InvalidMessageError,
    group: ConsumerGroup,
    refusals: number,
  ): void {
    whenDone(
      () => {
        if (typeof deadLetter === 'function') return deadLetter(delivery, error);
        const stored = storedOf(delivery);
        const headers = headersOf(delivery, stored, error, groupOf(delivery) ?? group, LONGEST_ERRORS[refusals]);
        return deadLetter.publish(stored.key, stored.payload, { ...metadataOf(stored), headers });
      },
      () => settle(delivery, () => delivery.ack()),
      (failure) => {
        if (!InvalidMessageError.is(failure)) this.#retryLater(delivery, failure);
        else if (typeof deadLetter === 'function' || refusals >= LONGEST_ERRORS.length)
          this.#quarantine(delivery, error, failure);
        else this.#send(deadLetter, delivery, error, group, refusals + 1);
      },
    );
  }

  #retryLater(delivery: Delivery, failure: unknown): void {
    const delay = Math.round(redeliveryDelay(failure, delivery.attempt));
    const next = `it stays in the queue, next try in ${delay} ms`;
    logFailure(this.#logger, 'error', 'A dead letter could not be delivered', delivery, failure, next);
    settle(delivery, () => delivery.nack({ delay }));
  }

  #quarantine(delivery: Delivery, error: InvalidMessageError, refusal: InvalidMessageError): void {
    const failure = withoutValues(refusal, storedOf(delivery).payload);
    const next = isQuarantinable(storedOf(delivery)) ? 'it is quarantined' : 'it is rejected';
    logFailure(this.#logger, 'error', 'A message cannot be dead-lettered', delivery, failure, next);
    const reason = `it cannot be dead-lettered (${textOf(failure)}) after its schema refused it (${textOf(error)})`;
    settle(delivery, () => quarantine(delivery, reason));
  }
}

/** Settles a delivery, unless the queue has requeued it meanwhile. */
function settle(delivery: Delivery, settlement: () => Promise<boolean>): void {
  if (!delivery.settled) unawaited(answerTo(settlement));
}

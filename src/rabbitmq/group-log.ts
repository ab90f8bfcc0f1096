import type { ConsumerGroup } from '../backend.js';
import { FatalErrors } from '../core/fatal-errors.js';
import { Refusals } from '../core/refusals.js';
import { describeError } from '../internal/describe.js';
import type { LogDetails, Logger } from '../internal/logger.js';

type MessageDetails = Pick<LogDetails, 'key' | 'id' | 'error'>;

/** Logs what happens to one group of a queue, with the fields that name both. */
export class GroupLog {
  readonly #logger: Logger;
  readonly #fields: { readonly queue: string; readonly group: ConsumerGroup };
  readonly #refusals: Refusals;
  /** The subscribers that RabbitMQ refuses to serve. */
  readonly #refused = new Set<object>();
  readonly #fatalErrors: FatalErrors;

  constructor(logger: Logger, queue: string, group: ConsumerGroup) {
    this.#logger = logger;
    this.#fields = { queue, group };
    const requests = `subscribers to group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)}`;
    this.#refusals = new Refusals({ broker: 'RabbitMQ', ...this.#fields, requests, logger });
    this.#fatalErrors = new FatalErrors({ ...this.#fields, logger });
  }

  /** RabbitMQ refuses to serve a subscriber, which tries again. */
  refused(subscriber: object, error: unknown): void {
    this.#refused.add(subscriber);
    this.#refusals.add(error);
  }

  /** RabbitMQ serves a subscriber. The refusals end when no other subscriber is refused. */
  served(subscriber: object): void {
    this.left(subscriber);
    if (this.#refused.size === 0) this.#refusals.end();
    this.#fatalErrors.end();
  }

  /** A subscriber tries no more. */
  left(subscriber: object): void {
    this.#refused.delete(subscriber);
  }

  /** An error ends the stream of a subscriber. */
  fatal(error: Error): void {
    this.#fatalErrors.add(error);
  }

  /** Warns of an expected event in one line. The error with its stack is for debug. */
  warn(message: string, error: unknown, details?: MessageDetails): void {
    this.#logger.warn(`${message} (${describeError(error)})`, { ...this.#fields, ...details });
    this.#logger.debug(message, { ...this.#fields, ...details, error });
  }

  error(message: string, details?: MessageDetails): void {
    this.#logger.error(message, { ...this.#fields, ...details });
  }
}

import type { ConsumerGroup } from '../backend.js';
import { FatalErrors } from '../core/fatal-errors.js';
import type { GroupReports } from '../core/group-loop.js';
import { Refusals } from '../core/refusals.js';
import { describeError } from '../internal/describe.js';
import type { LogDetails, Logger } from '../internal/logger.js';

type MessageDetails = Pick<LogDetails, 'key' | 'id' | 'error'>;

/** Logs events of one group of a queue, with the fields that name both. */
export class GroupLog {
  readonly #logger: Logger;
  readonly #fields: { readonly queue: string; readonly group: ConsumerGroup };
  readonly #refusals: Refusals;
  readonly #refused = new Set<object>();
  readonly #fatalErrors: FatalErrors;

  constructor(logger: Logger, queue: string, group: ConsumerGroup) {
    this.#logger = logger;
    this.#fields = { queue, group };
    const requests = `subscribers to group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)}`;
    this.#refusals = new Refusals({ engine: 'RabbitMQ', ...this.#fields, requests, logger });
    this.#fatalErrors = new FatalErrors({ ...this.#fields, logger });
  }

  /** Returns the logs of one subscriber. Refusals end when no subscriber is refused any more. */
  reportsOf(subscriber: object): GroupReports {
    let isServed = false;
    return {
      refusals: {
        add: (error) => {
          this.#refused.add(subscriber);
          this.#refusals.add(error);
        },
        end: () => {
          this.left(subscriber);
          if (this.#refused.size === 0) this.#refusals.end();
        },
      },
      fatalErrors: {
        add: (error) => this.#fatalErrors.add(error),
        end: () => {
          if (!isServed) this.#fatalErrors.end();
          isServed = true;
        },
      },
    };
  }

  left(subscriber: object): void {
    this.#refused.delete(subscriber);
  }

  /** Warns of an expected event in one line. The error with its stack goes to `debug`. */
  warn(message: string, error: unknown, details?: MessageDetails): void {
    this.#logger.warn(`${message} (${describeError(error)})`, { ...this.#fields, ...details });
    this.#logger.debug(message, { ...this.#fields, ...details, error });
  }

  error(message: string, details?: MessageDetails): void {
    this.#logger.error(message, { ...this.#fields, ...details });
  }
}

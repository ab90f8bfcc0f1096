import type { ConsumerGroup } from '../backend.js';
import { describeError } from '../internal/describe.js';
import type { LogDetails, Logger } from '../internal/logger.js';

type MessageDetails = Pick<LogDetails, 'key' | 'id' | 'error'>;

/** Logs what happens to one group of a queue, with the fields that name both. */
export class GroupLog {
  readonly #logger: Logger;
  readonly #fields: { readonly queue: string; readonly group: ConsumerGroup };

  constructor(logger: Logger, queue: string, group: ConsumerGroup) {
    this.#logger = logger;
    this.#fields = { queue, group };
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

import type { ConsumerGroup } from '../backend.js';
import type { Logger } from '../internal/logger.js';

export interface FatalErrorsOptions {
  readonly queue: string;
  readonly group: ConsumerGroup;
  readonly logger: Logger;
}

/**
 * Logs errors that end all streams of a group. Repetitions go to `debug` until the group works
 * again.
 */
export class FatalErrors {
  readonly #options: FatalErrorsOptions;
  #last: string | undefined;

  constructor(options: FatalErrorsOptions) {
    this.#options = options;
  }

  add(error: Error): void {
    const { queue, group, logger } = this.#options;
    const line = `The consumers of group ${JSON.stringify(group)} of queue ${JSON.stringify(queue)} failed: ${error.message}`;
    const level = error.message === this.#last ? 'debug' : 'error';
    this.#last = error.message;
    logger[level](line, { queue, group, error });
  }

  end(): void {
    this.#last = undefined;
  }
}

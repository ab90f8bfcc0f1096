import type { ConsumerGroup } from '../backend.js';
import { describeError } from '../internal/describe.js';
import type { LogDetails, Logger } from '../internal/logger.js';

export interface RefusalsOptions {
  /** The name of the engine in messages, such as `Redis`. */
  readonly engine: string;
  readonly queue: string;
  /** The group that sends the requests. Undefined: the whole queue. */
  readonly group?: ConsumerGroup | undefined;
  /** The refused requests in messages, such as `publishes to queue "orders"`. */
  readonly requests: string;
  readonly logger: Logger;
}

/**
 * Logs when an engine begins to refuse requests that are repeated, and when it accepts them again.
 */
export class Refusals {
  readonly #options: RefusalsOptions;
  #last: unknown;
  #count = 0;
  #since = 0;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** The last refusal. Undefined if the engine accepts requests. */
  get last(): unknown {
    return this.#last;
  }

  add(error: unknown): void {
    const { engine, requests, logger } = this.#options;
    this.#last = error;
    this.#count += 1;
    if (this.#count > 1) return;
    this.#since = performance.now();
    logger.warn(`${engine} refuses ${requests}, trying again: ${describeError(error)}`, this.#fields);
    logger.debug(`${engine} refuses ${requests}: the error`, { ...this.#fields, error });
  }

  end(): void {
    if (this.#count === 0) return;
    const { engine, requests, logger } = this.#options;
    const seconds = ((performance.now() - this.#since) / 1000).toFixed(1);
    logger.warn(`${engine} accepts ${requests} again after ${seconds} s, ${this.#count + 1} attempts`, this.#fields);
    this.#last = undefined;
    this.#count = 0;
  }

  get #fields(): Pick<LogDetails, 'queue' | 'group'> {
    const { queue, group } = this.#options;
    return group === undefined ? { queue } : { queue, group };
  }
}

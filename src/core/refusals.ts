import type { ConsumerGroup } from '../backend.js';
import { describeError } from '../internal/describe.js';
import type { LogDetails, Logger } from '../internal/logger.js';

export interface RefusalsOptions {
  /** What the broker is called in messages. */
  readonly broker: string;
  readonly queue: string;
  /** Whose requests they are; undefined for those of the whole queue. */
  readonly group?: ConsumerGroup | undefined;
  /** What it refuses, such as `publishes to queue "orders"`. */
  readonly requests: string;
  readonly logger: Logger;
}

/** Refusals of requests that are tried again. Logs when they begin and when they end. */
export class Refusals {
  readonly #options: RefusalsOptions;
  #last: unknown;
  #count = 0;
  #since = 0;

  constructor(options: RefusalsOptions) {
    this.#options = options;
  }

  /** The last refusal, until the broker accepts requests again. */
  get last(): unknown {
    return this.#last;
  }

  add(error: unknown): void {
    const { broker, requests, logger } = this.#options;
    this.#last = error;
    this.#count += 1;
    if (this.#count > 1) return;
    this.#since = performance.now();
    logger.warn(`${broker} refuses ${requests}, trying again: ${describeError(error)}`, this.#fields);
    logger.debug(`${broker} refuses ${requests}: the error`, { ...this.#fields, error });
  }

  /** The broker has accepted a request. */
  end(): void {
    if (this.#count === 0) return;
    const { broker, requests, logger } = this.#options;
    const seconds = ((performance.now() - this.#since) / 1000).toFixed(1);
    logger.warn(`${broker} accepts ${requests} again after ${seconds} s, ${this.#count + 1} attempts`, this.#fields);
    this.#last = undefined;
    this.#count = 0;
  }

  get #fields(): Pick<LogDetails, 'queue' | 'group'> {
    const { queue, group } = this.#options;
    return group === undefined ? { queue } : { queue, group };
  }
}

import type { ConsumerGroup } from '../backend.js';
import { BackendUnavailableError, QueueNotFoundError, SluiceError } from '../errors.js';
import { describeError } from '../internal/describe.js';

/** The connection was lost, or there was none. The engine may have carried out the request. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** No attempt can succeed: an option is wrong, or the setup of the server. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
}

/** What a failed command or connection says about the next attempt. */
export type ErrorKind =
  /** The connection is lost: repeat the request over the next one. */
  | 'retryable'
  /** The server refuses the request for now: back off and repeat it. */
  | 'refused'
  /** The request fails until the configuration changes. */
  | 'fatal';

/** How to read the errors of one client, beyond those that every engine has. */
export interface ErrorRules {
  /** The name of the engine in messages, such as `Redis`. */
  readonly engine: string;
  readonly classify: (error: unknown) => ErrorKind;
  /**
   * Explains an error of the client, in a sentence without its full stop. Undefined: the error
   * explains itself.
   */
  readonly explain: (error: unknown) => string | undefined;
}

/** Classifies and explains the errors of one queue on one server. */
export class EngineErrors {
  readonly #rules: ErrorRules;
  readonly #queue: string;
  readonly #server: string;

  /** @param where the queue, and the address of its server without a password */
  constructor(rules: ErrorRules, { queue, server }: { readonly queue: string; readonly server: string }) {
    this.#rules = rules;
    this.#queue = queue;
    this.#server = server;
  }

  get engine(): string {
    return this.#rules.engine;
  }

  readonly classify = (error: unknown): ErrorKind => {
    if (error instanceof ConnectionLostError) return 'retryable';
    if (error instanceof FatalError || QueueNotFoundError.is(error)) return 'fatal';
    if (BackendUnavailableError.is(error) && !error.retryable) return 'fatal';
    return this.#rules.classify(error);
  };

  /** Creates the error for a queue or a group of it that does not exist with `create: false`. */
  notFound(group?: ConsumerGroup): QueueNotFoundError {
    const missing = group === undefined ? 'does not exist' : `has no group ${JSON.stringify(group)}`;
    return new QueueNotFoundError(
      `Queue ${JSON.stringify(this.#queue)} ${missing} (${this.#rules.engine} at ${this.#server})`,
    );
  }

  /** Wraps an error of the client in a `SluiceError`. */
  readonly explained = (error: unknown): SluiceError => {
    if (SluiceError.is(error)) return error;
    return new BackendUnavailableError(
      `${this.#explain(error)} (queue ${JSON.stringify(this.#queue)}, ${this.#rules.engine} at ${this.#server})`,
      {
        cause: error,
        retryable: this.classify(error) !== 'fatal',
      },
    );
  };

  #explain(error: unknown): string {
    const { engine, explain } = this.#rules;
    if (error instanceof ConnectionLostError)
      return `${error.message}${error.cause === undefined ? '' : ` (${describeError(error.cause)})`}`;
    const because = explain(error);
    if (because !== undefined) return because;
    return `${engine} cannot be used: ${describeError(error instanceof FatalError ? error.cause : error)}`;
  }
}

/**
 * Whether an error says that client and server do not agree on TLS. No second attempt can succeed.
 */
export function isTlsMismatch({
  code = '',
  message = '',
}: {
  readonly code?: unknown;
  readonly message?: string;
}): boolean {
  const signs = /^ERR_TLS|^ERR_SSL|CERT|SELF_SIGNED|^UNABLE_TO_|SSL routines/;
  return signs.test(String(code)) || signs.test(message);
}

import { BackendUnavailableError, SluiceError } from '../errors.js';
import { describeError } from '../internal/describe.js';

/** The connection was lost, or there was none. What was sent may have been carried out. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** No attempt can succeed: something about the options or the broker is wrong. */
export class FatalError extends Error {
  override readonly name = 'FatalError';
}

/** What a failed command or connection says about the next attempt. */
export type ErrorKind =
  /** The connection is gone: send it again over the next one. */
  | 'retryable'
  /** The broker refuses for now. */
  | 'refused'
  /** It will fail again until somebody changes something. */
  | 'fatal';

/** What errors on the way to a broker mean, beyond those that every broker has. */
export interface ErrorRules {
  /** What the broker is called in messages, such as `Redis`. */
  readonly broker: string;
  /** What an error of the client says about the next attempt. */
  readonly classify: (error: unknown) => ErrorKind;
  /** What an error of the client means to the user, in a sentence without its full stop; undefined: there is nothing to add to it. */
  readonly explain: (error: unknown) => string | undefined;
}

/** Reads the errors of one queue on one broker. */
export class EngineErrors {
  readonly #signs: ErrorRules;
  readonly #where: string;

  /** @param where which queue, and where its broker is; without a password */
  constructor(signs: ErrorRules, { queue, server }: { readonly queue: string; readonly server: string }) {
    this.#signs = signs;
    this.#where = `queue ${JSON.stringify(queue)}, ${signs.broker} at ${server}`;
  }

  get broker(): string {
    return this.#signs.broker;
  }

  readonly classify = (error: unknown): ErrorKind => {
    if (error instanceof ConnectionLostError) return 'retryable';
    if (error instanceof FatalError || (BackendUnavailableError.is(error) && !error.retryable)) return 'fatal';
    return this.#signs.classify(error);
  };

  /** An error of the client, in the terms of this library. */
  readonly explained = (error: unknown): SluiceError => {
    if (SluiceError.is(error)) return error;
    return new BackendUnavailableError(`${this.#explain(error)} (${this.#where})`, {
      cause: error,
      retryable: this.classify(error) !== 'fatal',
    });
  };

  #explain(error: unknown): string {
    const { broker, explain } = this.#signs;
    if (error instanceof ConnectionLostError)
      return `${error.message}${error.cause === undefined ? '' : ` (${describeError(error.cause)})`}`;
    const because = explain(error);
    if (because !== undefined) return because;
    return `${broker} cannot be used: ${describeError(error instanceof FatalError ? error.cause : error)}`;
  }
}

/** Errors on the way to a server by which the two do not agree on TLS: no second attempt mends them. */
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

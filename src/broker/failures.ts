import { BackendUnavailableError, SluiceError } from '../errors.js';
import { describeError } from '../internal/describe.js';

/** The connection was lost, or there was none. What was sent may have been carried out. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** No attempt can succeed: something about the options or the broker is wrong. */
export class HopelessError extends Error {
  override readonly name = 'HopelessError';
}

/** What a failed command or connection says about the next attempt. */
export type Outlook =
  /** The connection is gone: send it again over the next one. */
  | 'lost'
  /** The broker refuses for now. */
  | 'refused'
  /** It will fail again until somebody changes something. */
  | 'hopeless';

/** What errors on the way to a broker mean, beyond those that every broker has. */
export interface FailureSigns {
  /** What the broker is called in messages, such as `Redis`. */
  readonly broker: string;
  /** What an error of the client says about the next attempt. */
  readonly outlookOf: (error: unknown) => Outlook;
  /** What an error of the client means to the user, in a sentence without its full stop; undefined: there is nothing to add to it. */
  readonly explain: (error: unknown) => string | undefined;
}

/** Reads the errors of one queue on one broker. */
export class Failures {
  readonly #signs: FailureSigns;
  readonly #where: string;

  /** @param where which queue, and where its broker is; without a password */
  constructor(signs: FailureSigns, { queue, server }: { readonly queue: string; readonly server: string }) {
    this.#signs = signs;
    this.#where = `queue ${JSON.stringify(queue)}, ${signs.broker} at ${server}`;
  }

  get broker(): string {
    return this.#signs.broker;
  }

  readonly outlookOf = (error: unknown): Outlook => {
    if (error instanceof ConnectionLostError) return 'lost';
    if (error instanceof HopelessError || (BackendUnavailableError.is(error) && !error.retryable)) return 'hopeless';
    return this.#signs.outlookOf(error);
  };

  /** An error of the client, in the terms of this library. */
  readonly explained = (error: unknown): SluiceError => {
    if (SluiceError.is(error)) return error;
    return new BackendUnavailableError(`${this.#explain(error)} (${this.#where})`, {
      cause: error,
      retryable: this.outlookOf(error) !== 'hopeless',
    });
  };

  #explain(error: unknown): string {
    const { broker, explain } = this.#signs;
    if (error instanceof ConnectionLostError)
      return `${error.message}${error.cause === undefined ? '' : ` (${describeError(error.cause)})`}`;
    const because = explain(error);
    if (because !== undefined) return because;
    return `${broker} cannot be used: ${describeError(error instanceof HopelessError ? error.cause : error)}`;
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

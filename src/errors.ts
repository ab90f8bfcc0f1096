const BRAND = Symbol.for('sluice.error');

/** As `ErrorOptions` of ES2022, which a program that is compiled for an older target does not know. */
interface CauseOptions {
  /** The original error. */
  readonly cause?: unknown;
}

/** A constructor of errors, as `is()` sees it. */
type ErrorClass<Instance> = (abstract new (...args: never[]) => Instance) & { readonly code: string };

/**
 * What every error of this library descends from. `code` is stable; messages may change. The original error, if there is one, is in `cause`.
 *
 * Ask with `SluiceError.is(error)` rather than with `instanceof`: the ESM and the CommonJS build have a class each.
 */
export class SluiceError extends Error {
  static readonly code: string = 'SLUICE_ERROR';

  override get name(): string {
    return 'SluiceError';
  }

  /** Names the kind of error; does not change between versions. */
  readonly code: string;

  constructor(message: string, options?: CauseOptions) {
    super(message, options);
    this.code = new.target.code;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** Whether a value is an error of this class, from whichever copy of the library it came. */
  static is<Instance extends SluiceError>(this: ErrorClass<Instance>, value: unknown): value is Instance {
    try {
      if (typeof value !== 'object' || value === null || !(BRAND in value)) return false;
      return this.code === SluiceError.code || ('code' in value && value.code === this.code);
    } catch {
      // A handler may throw anything, also an object that cannot be read.
      return false;
    }
  }
}

/** The queue was closed: nothing can be published to it or waited for in it any more. */
export class QueueClosedError extends SluiceError {
  static override readonly code: string = 'SLUICE_QUEUE_CLOSED';

  override get name(): string {
    return 'QueueClosedError';
  }
}

/** The queue or the buffer is full, and its overflow policy is to refuse. */
export class QueueOverflowError extends SluiceError {
  static override readonly code: string = 'SLUICE_QUEUE_OVERFLOW';

  override get name(): string {
    return 'QueueOverflowError';
  }
}

/** A key, a payload or a header that cannot be sent. Nothing was enqueued. */
export class InvalidMessageError extends SluiceError {
  static override readonly code: string = 'SLUICE_INVALID_MESSAGE';

  override get name(): string {
    return 'InvalidMessageError';
  }

  /**
   * @param path where the offending value stands, such as `payload.items[3].price`
   * @param expected what should have been there, such as `a finite number`
   * @param received what was there, described in words
   */
  constructor(
    readonly path: string,
    readonly expected: string,
    readonly received: string,
    options?: CauseOptions,
  ) {
    super(`Expected \`${path}\` to be ${expected}, got ${received}`, options);
  }
}

/** A variable of the environment is missing or malformed; the message names it and what it should look like. */
export class ConfigurationError extends SluiceError {
  static override readonly code: string = 'SLUICE_CONFIGURATION';

  override get name(): string {
    return 'ConfigurationError';
  }
}

/** No backend of that name, or the client that it needs is not installed. */
export class BackendNotFoundError extends SluiceError {
  static override readonly code: string = 'SLUICE_BACKEND_NOT_FOUND';

  override get name(): string {
    return 'BackendNotFoundError';
  }
}

/** The backend could not be reached, or did not answer in time. */
export class BackendUnavailableError extends SluiceError {
  static override readonly code: string = 'SLUICE_BACKEND_UNAVAILABLE';

  override get name(): string {
    return 'BackendUnavailableError';
  }

  /** Whether the same call may succeed later. */
  readonly retryable: boolean;

  constructor(message: string, { retryable = true, ...options }: CauseOptions & { retryable?: boolean } = {}) {
    super(message, options);
    this.retryable = retryable;
  }
}

/** A handler took longer than it may. */
export class HandlerTimeoutError extends SluiceError {
  static override readonly code: string = 'SLUICE_HANDLER_TIMEOUT';

  override get name(): string {
    return 'HandlerTimeoutError';
  }
}

/**
 * Thrown by a handler of `handle` or `AsyncLoopConsumer` for a message that no retry can heal, such as an invalid one. The message gets no retries: it goes to
 * `deadLetter` at once, or is rejected. Only the thrown error itself counts, not its `cause`.
 */
export class UnrecoverableError extends SluiceError {
  static override readonly code: string = 'SLUICE_UNRECOVERABLE';

  override get name(): string {
    return 'UnrecoverableError';
  }
}

/** The engine cannot do what was asked. The message says what to use instead. */
export class UnsupportedOperationError extends SluiceError {
  static override readonly code: string = 'UNSUPPORTED_OPERATION';

  override get name(): string {
    return 'UnsupportedOperationError';
  }
}

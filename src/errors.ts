const BRAND = Symbol.for('sluice.error');

/** `ErrorOptions` of ES2022, which programs with an older target do not have. */
interface CauseOptions {
  /** The original error. */
  readonly cause?: unknown;
}

type ErrorClass<Instance> = (abstract new (...args: never[]) => Instance) & { readonly code: string };

/**
 * The base class of all errors of this library. `code` is stable; messages may change. `cause` is
 * the original error, if there is one.
 *
 * Use `SluiceError.is(error)` instead of `instanceof`: the ESM and the CommonJS build have a class
 * each.
 */
export class SluiceError extends Error {
  static readonly code: string = 'SLUICE_ERROR';

  override get name(): string {
    return 'SluiceError';
  }

  /** Identifies the kind of error. It does not change between versions. */
  readonly code: string;

  constructor(message: string, options?: CauseOptions) {
    super(message, options);
    this.code = new.target.code;
    Object.defineProperty(this, BRAND, { value: true });
  }

  /** Whether a value is an error of this class, from any copy of the library. */
  static is<Instance extends SluiceError>(this: ErrorClass<Instance>, value: unknown): value is Instance {
    try {
      if (typeof value !== 'object' || value === null || !(BRAND in value)) return false;
      return this.code === SluiceError.code || ('code' in value && value.code === this.code);
    } catch {
      // A handler may throw anything, including an object that cannot be read.
      return false;
    }
  }
}

/** The queue is closed. */
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

/** What is wrong with one value of a message. Shows no value. */
export interface MessageIssue {
  /** The position of the invalid value, such as `payload.items[3].price`. */
  readonly path: string;
  /** What the schema expects there, such as `must be a number, got a string`. */
  readonly message: string;
}

/** The key, the payload or a header is invalid. The message was not enqueued. */
export class InvalidMessageError extends SluiceError {
  static override readonly code: string = 'SLUICE_INVALID_MESSAGE';

  override get name(): string {
    return 'InvalidMessageError';
  }

  /** Everything that a schema finds wrong, the first issue first. Empty if no schema was involved. */
  readonly issues: readonly MessageIssue[];

  /**
   * @param path the position of the invalid value, such as `payload.items[3].price`
   * @param expected the expected value, such as `a finite number`
   * @param received a description of the actual value
   */
  constructor(
    readonly path: string,
    readonly expected: string,
    readonly received: string,
    { issues = [], ...options }: CauseOptions & { readonly issues?: readonly MessageIssue[] } = {},
  ) {
    super(`Expected \`${path}\` to be ${expected}, got ${received}${alsoInvalid(issues)}`, options);
    this.issues = issues;
  }
}

/** How many more paths the message of an error names. */
const MORE_PATHS = 4;

function alsoInvalid(issues: readonly MessageIssue[]): string {
  const others = [...new Set(issues.slice(1).map(({ path }) => path))].filter((path) => path !== issues[0]?.path);
  if (others.length === 0) return '';
  const named = others.slice(0, MORE_PATHS).map((path) => `\`${path}\``);
  const rest = others.length - named.length;
  return `; also invalid: ${named.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}

/**
 * The configuration is invalid, such as a missing or malformed environment variable. The message
 * names it and the expected value.
 */
export class ConfigurationError extends SluiceError {
  static override readonly code: string = 'SLUICE_CONFIGURATION';

  override get name(): string {
    return 'ConfigurationError';
  }
}

/** The backend does not exist, or its client package is not installed. */
export class BackendNotFoundError extends SluiceError {
  static override readonly code: string = 'SLUICE_BACKEND_NOT_FOUND';

  override get name(): string {
    return 'BackendNotFoundError';
  }
}

/** The queue or a group does not exist, and the backend must not create it (`create: false`). */
export class QueueNotFoundError extends SluiceError {
  static override readonly code: string = 'SLUICE_QUEUE_NOT_FOUND';

  override get name(): string {
    return 'QueueNotFoundError';
  }
}

/** The backend cannot be reached, or did not respond in time. */
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

/** A handler exceeded its timeout. */
export class HandlerTimeoutError extends SluiceError {
  static override readonly code: string = 'SLUICE_HANDLER_TIMEOUT';

  override get name(): string {
    return 'HandlerTimeoutError';
  }
}

/**
 * Marks a message as failed for good. A handler of `handle` or `AsyncLoopConsumer` throws it, for
 * instance for an invalid message. The message is not retried: it goes to `deadLetter`, or is
 * rejected. Only the thrown error itself counts, not its `cause`.
 */
export class UnrecoverableError extends SluiceError {
  static override readonly code: string = 'SLUICE_UNRECOVERABLE';

  override get name(): string {
    return 'UnrecoverableError';
  }
}

/** The engine does not support the operation. The message names an alternative. */
export class UnsupportedOperationError extends SluiceError {
  static override readonly code: string = 'UNSUPPORTED_OPERATION';

  override get name(): string {
    return 'UnsupportedOperationError';
  }
}

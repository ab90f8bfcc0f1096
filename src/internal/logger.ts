import { describeError, isError } from './describe.js';
import { throwLater } from './throw-later.js';

/** The fields that the details of a log line may have. */
export interface LogDetails {
  readonly queue?: string | undefined;
  readonly group?: string | undefined;
  readonly key?: string | undefined;
  /** The id of the message. */
  readonly id?: string | undefined;
  readonly attempt?: number | undefined;
  readonly error?: unknown;
}

/**
 * Gets the log lines of the library. Each message is one complete line. `details` has the fields of
 * {@link LogDetails} that apply, for structured logs.
 *
 * *When to use*: pass `console`, a winston logger, or `pinoLogger(pino)`.
 */
export interface Logger {
  debug(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  error(message: string, details?: object): void;
}

/** Characters that start a line, control a terminal or change the text direction. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to escape
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Escapes characters that could forge log lines or control a terminal. */
export function toOneLine(text: string): string {
  return text.replace(
    UNSAFE,
    (character) => SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The wrappers, by logger: all backends with one logger share one. */
const shields = new WeakMap<Logger, Logger>();

/**
 * Wraps a logger. Each message is one line, and the details contain no thrown payload. An error of
 * the logger does not fail a call of the library: it becomes an uncaught exception.
 */
export function shieldLogger(logger: Logger): Logger {
  const existing = shields.get(logger);
  if (existing !== undefined) return existing;
  const shield =
    (level: keyof Logger): Logger['debug'] =>
    (message, details) => {
      try {
        if (details === undefined) logger[level](toOneLine(message));
        else logger[level](toOneLine(message), withoutPayload(details));
      } catch (error) {
        throwLater(error);
      }
    };
  const shielded = { debug: shield('debug'), warn: shield('warn'), error: shield('error') };
  shields.set(logger, shielded);
  shields.set(shielded, shielded);
  return shielded;
}

/** Prints warnings and errors on the console, one line each. */
export const defaultLogger: Logger = {
  debug() {},
  warn(message) {
    console.warn(message);
  },
  error(message, details) {
    console.error(`${message}${placeOf((details as LogDetails | undefined)?.error)}`);
  },
};

/**
 * Returns details whose `error` is safe to log. An object that is no error may be the payload:
 * handlers can throw anything.
 */
function withoutPayload(details: LogDetails): object {
  const { error } = details;
  const isObject = (typeof error === 'object' && error !== null) || typeof error === 'function';
  return isObject && !isError(error) ? { ...details, error: describeError(error) } : details;
}

/**
 * A frame of Node, of a package, or of a built-in function, which has no file: `at Array.map
 * (<anonymous>)`.
 */
const FOREIGN_FRAME = /node:|node_modules|[( ]<anonymous>\)?$/;

/**
 * Returns where in the application an error was thrown, in parentheses; an empty string if its
 * stack does not tell.
 */
function placeOf(error: unknown): string {
  const own = framesOf(error).find((line) => !FOREIGN_FRAME.test(line));
  return own === undefined ? '' : ` (${toOneLine(own.trim())})`;
}

/** Returns the frames of an error's stack, without its message; none if it has no stack. */
export function framesOf(error: unknown): string[] {
  if (!isError(error)) return [];
  try {
    const { message, stack = '' } = error;
    // A line of the message may look like a frame.
    const start = stack.indexOf(message);
    const trace = start < 0 ? stack : stack.slice(start + message.length);
    return trace.split('\n').filter((line) => /^\s+at /.test(line));
  } catch {
    // The logged failure matters, not that of a getter of its error.
    return [];
  }
}

import { isError } from './describe.js';
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
 * Where the library logs. Each message is one complete line; `details` has the fields of {@link LogDetails} that apply, for structured logs.
 *
 * *When to use*: pass `console`, a winston logger, or `pinoLogger(pino)`.
 */
export interface Logger {
  debug(message: string, details?: object): void;
  warn(message: string, details?: object): void;
  error(message: string, details?: object): void;
}

/** Characters that start a line, drive a terminal or change the direction of the text. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters to escape
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Escapes what foreign text could forge log lines with, or drive a terminal with. */
export function toOneLine(text: string): string {
  return text.replace(UNSAFE, (character) => SHORT[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** The shields of the loggers, so that the backends of one logger share one. */
const shields = new WeakMap<Logger, Logger>();

/** Wraps a logger: its messages are one line each, and an error that it throws fails no call but is thrown on its own. */
export function shieldLogger(logger: Logger): Logger {
  const existing = shields.get(logger);
  if (existing !== undefined) return existing;
  const shield =
    (level: keyof Logger): Logger['debug'] =>
    (message, details) => {
      try {
        if (details === undefined) logger[level](toOneLine(message));
        else logger[level](toOneLine(message), details);
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

/** Returns where in the application an error was thrown, in parentheses; an empty string if its stack does not tell. */
function placeOf(error: unknown): string {
  if (!isError(error) || typeof error.stack !== 'string') return '';
  const frames = error.stack.split('\n').filter((line) => /^\s+at /.test(line));
  const own = frames.find((line) => !/node:|node_modules|<anonymous>/.test(line));
  return own === undefined ? '' : ` (${toOneLine(own.trim())})`;
}

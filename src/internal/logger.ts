import { throwLater } from './throw-later.js';

/** Where the library says what it cannot throw. `console` and a pino logger fit as they are. */
export interface Logger {
  debug(message: string, ...details: unknown[]): void;
  warn(message: string, ...details: unknown[]): void;
  error(message: string, ...details: unknown[]): void;
}

/** The same logger, but what it throws fails nobody's call: it is thrown on its own. */
export function shieldLogger(logger: Logger): Logger {
  const shield =
    (level: keyof Logger): Logger['debug'] =>
    (message, ...details) => {
      try {
        logger[level](message, ...details);
      } catch (error) {
        throwLater(error);
      }
    };
  return { debug: shield('debug'), warn: shield('warn'), error: shield('error') };
}

/** Warnings and errors on the console, nothing below. */
export const defaultLogger: Logger = {
  debug() {},
  warn(message, ...details) {
    console.warn(message, ...details);
  },
  error(message, ...details) {
    console.error(message, ...details);
  },
};

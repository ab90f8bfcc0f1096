/** Where the library says what it cannot throw. `console` and a pino logger fit as they are. */
export interface Logger {
  debug(message: string, ...details: unknown[]): void;
  warn(message: string, ...details: unknown[]): void;
  error(message: string, ...details: unknown[]): void;
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

import type { LogDetails, Logger } from './logger.js';

/** The part of a pino logger that {@link pinoLogger} uses. bunyan has the same one. */
export interface PinoLike {
  debug(details: object, message: string): void;
  warn(details: object, message: string): void;
  error(details: object, message: string): void;
}

/**
 * Adapts a pino logger, which takes the fields first and the message second. The field `error`
 * becomes `err`, which pino serializes.
 *
 * @example
 * ```ts
 * const queue = await loadBackend({ logger: pinoLogger(pino()) });
 * ```
 */
export function pinoLogger(pino: PinoLike): Logger {
  const log =
    (level: keyof Logger): Logger['debug'] =>
    (message, details = {}) => {
      const { error, ...fields } = details as LogDetails;
      pino[level](error === undefined ? fields : { ...fields, err: error }, message);
    };
  return { debug: log('debug'), warn: log('warn'), error: log('error') };
}

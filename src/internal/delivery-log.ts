import { describeError } from './describe.js';
import type { LogDetails, Logger } from './logger.js';
import type { AnyDelivery } from './outcome.js';

/** Logs a failure that concerns a delivery, and its consequence. Never logs the payload. */
export function logFailure(
  logger: Logger,
  level: 'warn' | 'error',
  what: string,
  delivery: AnyDelivery,
  error: unknown,
  next: string,
): void {
  logger[level](`${what}: ${nameOf(delivery)}: ${describeError(error)}; ${next}`, { ...fieldsOf(delivery), error });
}

/** Names a delivery in a log line. */
export function nameOf({ id, key, queue, attempt }: AnyDelivery): string {
  return `delivery ${id} (${JSON.stringify(key)}) from queue ${JSON.stringify(queue)}, attempt ${attempt}`;
}

/** Returns the fields of a delivery for the details of a log line. */
export function fieldsOf({ id, key, queue, attempt }: AnyDelivery): LogDetails {
  return { queue, key, id, attempt };
}

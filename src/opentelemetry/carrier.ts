import type { MessageHeaders } from '../backend.js';
import { isWellFormed } from '../internal/options.js';

export function hasMembers(record: object): boolean {
  for (const _ in record) return true;
  return false;
}

/**
 * Removes what a propagator has written and a queue would refuse. Returns the name of such a header,
 * if there is one.
 */
export function dropInvalid(headers: Record<string, unknown>): string | undefined {
  let invalid: string | undefined;
  for (const name in headers) {
    if (isText(headers[name]) && name !== '' && isWellFormed(name)) continue;
    delete headers[name];
    invalid = name;
  }
  return invalid;
}

/**
 * Adds the headers of a message that no propagator has written. Those that are invalid stay in any
 * case, for the queue to refuse the message.
 */
export function keepOthers(headers: Record<string, string>, others: MessageHeaders, fields: readonly string[]): void {
  for (const name of Object.keys(others)) {
    const value = others[name] as string;
    if (isText(value) && (fields.includes(name) || Object.hasOwn(headers, name))) continue;
    if (name !== '__proto__') headers[name] = value;
    // Assignment would call a setter.
    else Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && isWellFormed(value);
}

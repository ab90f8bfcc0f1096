import type { QueuePayload } from '../backend.js';
import { InvalidMessageError } from '../errors.js';
import { describe } from './describe.js';
import { isName, NAME } from './options.js';

/**
 * The deepest nesting of a payload: far beyond real messages, and below the stack limit of
 * `JSON.stringify`.
 */
const MAX_DEPTH = 1_000;

/** @throws {InvalidMessageError} unless `key` is a string of 1 to 255 bytes of UTF-8 */
export function checkKey(key: unknown): void {
  if (!isName(key)) throw new InvalidMessageError('key', NAME, describe(key));
}

/**
 * Returns the payload.
 * @throws {InvalidMessageError} unless it is a plain object. Its content is not checked.
 */
export function checkPayload(payload: unknown): QueuePayload {
  if (isPlainObject(payload)) return payload;
  throw new InvalidMessageError('payload', 'a plain object', describe(payload));
}

/**
 * Copies the payload as `JSON.parse(JSON.stringify(payload))` would.
 * @throws {InvalidMessageError} if JSON would change more than drop undefined properties. The
 * message names the path.
 */
export function copyAsJson(payload: unknown): QueuePayload {
  return copyObject(checkPayload(payload), 'payload', []);
}

function copyValue(value: unknown, path: string, ancestors: object[]): unknown {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw new InvalidMessageError(path, 'a finite number', describe(value));
      return value === 0 ? 0 : value;
    case 'object':
      if (value === null) return null;
      if (Array.isArray(value)) return copyArray(value, path, ancestors);
      if (isPlainObject(value)) return copyObject(value, path, ancestors);
      break;
    default:
  }
  throw new InvalidMessageError(path, 'a JSON value', describe(value));
}

function copyArray(array: readonly unknown[], path: string, ancestors: object[]): unknown[] {
  enter(array, path, ancestors);
  const extra = Object.keys(array)[array.length];
  if (extra !== undefined)
    throw new InvalidMessageError(
      propertyPath(path, extra),
      'absent: JSON drops named properties of an array',
      'a property',
    );
  const copy: unknown[] = [];
  for (let index = 0; index < array.length; index++) copy.push(copyValue(array[index], `${path}[${index}]`, ancestors));
  ancestors.pop();
  return copy;
}

function copyObject(object: object, path: string, ancestors: object[]): object {
  enter(object, path, ancestors);
  const symbol = Object.getOwnPropertySymbols(object)[0];
  if (symbol !== undefined)
    throw new InvalidMessageError(`${path}[${String(symbol)}]`, 'absent: JSON drops symbols', 'a property');
  const copy: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(object)) {
    if (value === undefined) continue;
    const copied = copyValue(value, propertyPath(path, name), ancestors);
    if (name === '__proto__') defineField(copy, name, copied);
    else copy[name] = copied;
  }
  ancestors.pop();
  return copy;
}

/** Assignment would call the setter of `__proto__`, which is ordinary data in a message. */
function defineField(object: object, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

function enter(value: object, path: string, ancestors: object[]): void {
  if (ancestors.includes(value)) throw new InvalidMessageError(path, 'a tree', 'a cycle');
  if (ancestors.length >= MAX_DEPTH)
    throw new InvalidMessageError(path, `nested at most ${MAX_DEPTH} levels deep`, 'a deeper value');
  ancestors.push(value);
}

/** Plain in any realm: also a literal from another `vm` context or from `structuredClone`. */
export function isPlainObject(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  if (prototype === Object.prototype) return true;
  return prototype === null || (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, 'isPrototypeOf'));
}

/** Names a property in an error. */
export function propertyPath(path: string, name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `${path}.${name}` : `${path}[${JSON.stringify(name)}]`;
}

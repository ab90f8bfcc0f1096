import { describe } from './describe.js';

/** The error for an option of the wrong type or, where the type is right, of a value that it cannot have. */
function invalid(name: string, expected: string, value: unknown, typeIsRight: boolean): Error {
  const message = `Expected \`${name}\` to be ${expected}, got ${describe(value)}`;
  return typeIsRight ? new RangeError(message) : new TypeError(message);
}

/** @throws {TypeError | RangeError} unless `value` is a whole number from 1 up (or Infinity, where that is `allowed`) */
export function checkCount(name: string, value: unknown, { infinity = false } = {}): number {
  if (typeof value === 'number' && value >= 1 && (Number.isSafeInteger(value) || (infinity && value === Infinity))) return value;
  throw invalid(name, `a positive integer${infinity ? ' or Infinity' : ''}`, value, typeof value === 'number');
}

/** @throws {TypeError | RangeError} unless `value` is a finite number of milliseconds, from 0 up */
export function checkMilliseconds(name: string, value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  throw invalid(name, 'a finite number of milliseconds, at least 0', value, typeof value === 'number');
}

/** @throws {TypeError | RangeError} unless `value` is one of the `choices` */
export function checkChoice<Choice extends string>(name: string, value: unknown, choices: readonly Choice[]): Choice {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  const expected = choices.map((choice) => `'${choice}'`).join(', ');
  throw invalid(name, `one of ${expected}`, value, typeof value === 'string');
}

/** @throws {TypeError} unless `value` is a boolean */
export function checkFlag(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw invalid(name, 'a boolean', value, false);
}

/** @throws {TypeError | RangeError} unless `value` is a string of 1 to 255 bytes of UTF-8 */
export function checkName(name: string, value: unknown): string {
  if (isName(value)) return value;
  throw invalid(name, NAME, value, typeof value === 'string');
}

/** @throws {TypeError} unless `value` is an AbortSignal or undefined */
export function checkSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return value;
  const signal = value as Partial<AbortSignal> | null;
  if (typeof signal === 'object' && typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function') {
    return signal as AbortSignal;
  }
  throw invalid(name, 'an AbortSignal', value, false);
}

/** @throws {TypeError} unless `value` is an object that holds options, or undefined */
export function checkOptions<Options extends object>(value: Options | undefined): Partial<Options> {
  if (value === undefined) return {};
  if (typeof value === 'object' && value !== null) return value;
  throw invalid('options', 'an object', value, false);
}

/** What `isName` asks for, in words. */
export const NAME = 'a string of 1 to 255 bytes of well-formed UTF-8';

const MAX_NAME_BYTES = 255;
const MAX_BYTES_PER_UNIT = 3;
const encoder = new TextEncoder();

/** Whether a value can name a key, a group or a queue. */
export function isName(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > MAX_NAME_BYTES) return false;
  if (!isWellFormed(value)) return false;
  return value.length * MAX_BYTES_PER_UNIT <= MAX_NAME_BYTES || encoder.encode(value).length <= MAX_NAME_BYTES;
}

/** Whether a string has a form in UTF-8, which half a surrogate pair has not: it would arrive as another character. */
export function isWellFormed(value: string): boolean {
  return !/\p{Surrogate}/u.test(value);
}

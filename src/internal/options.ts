import { describe } from './describe.js';

/**
 * Creates the error for an invalid option: a `RangeError` if the type is right, else a `TypeError`.
 */
function invalid(name: string, expected: string, value: unknown, typeIsRight: boolean): Error {
  const message = `Expected \`${name}\` to be ${expected}, got ${describe(value)}`;
  return typeIsRight ? new RangeError(message) : new TypeError(message);
}

interface CountRange {
  /** The minimum. Default: 1. */
  readonly least?: number;
  /** The origin of the minimum for the error, such as ` (retry.count + 1)`. */
  readonly why?: string;
  /** Whether Infinity is valid. Default: false. */
  readonly infinity?: boolean;
}

/** @throws {TypeError | RangeError} unless `value` is an integer in the range */
export function checkCount(
  name: string,
  value: unknown,
  { least = 1, why = '', infinity = false }: CountRange = {},
): number {
  if (typeof value === 'number' && value >= least && (Number.isSafeInteger(value) || (infinity && value === Infinity)))
    return value;
  const whole = least === 1 ? 'a positive integer' : `an integer of at least ${least}${why}`;
  throw invalid(name, `${whole}${infinity ? ' or Infinity' : ''}`, value, typeof value === 'number');
}

export interface MillisecondsRange {
  /** The minimum. Default: 0. */
  readonly least?: number;
  /** The maximum. Default: `Number.MAX_SAFE_INTEGER`. */
  readonly most?: number;
}

/**
 * @throws {TypeError | RangeError} unless `value` is a finite number of milliseconds in the range
 */
export function checkMilliseconds(
  name: string,
  value: unknown,
  { least = 0, most = Number.MAX_SAFE_INTEGER }: MillisecondsRange = {},
): number {
  if (isMilliseconds(value) && value >= least && value <= most) return value;
  const limit = most === Number.MAX_SAFE_INTEGER ? '' : ` and at most ${most}`;
  throw invalid(name, `a finite number of milliseconds, at least ${least}${limit}`, value, typeof value === 'number');
}

/** Whether a value is a valid duration. */
export function isMilliseconds(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER;
}

/** @throws {TypeError | RangeError} unless `value` is a number from 0 to 1 */
export function checkShare(name: string, value: unknown): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  throw invalid(name, 'a number from 0 to 1', value, typeof value === 'number');
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

/** @throws {TypeError} unless `value` is a function */
export function checkFunction<Callback>(name: string, value: Callback): Callback {
  if (typeof value === 'function') return value;
  throw invalid(name, 'a function', value, false);
}

/** @throws {TypeError} unless `value` has all of the `methods` */
export function checkMethods<Thing extends object>(
  name: string,
  value: Thing,
  methods: readonly (keyof Thing & string)[],
): Thing {
  const missing = methods.find((method) => typeof value?.[method] !== 'function');
  if (missing === undefined) return value;
  throw invalid(name, `an object with a method \`${missing}\``, value, false);
}

/** @throws {TypeError | RangeError} unless `value` is a string of 1 to 255 bytes of UTF-8 */
export function checkName(name: string, value: unknown): string {
  if (isName(value)) return value;
  throw invalid(name, NAME, value, typeof value === 'string');
}

/**
 * Returns the names without duplicates.
 * @throws {TypeError | RangeError} unless `value` is a list of names that is not empty
 */
export function checkNames(
  name: string,
  value: unknown,
  expected = 'a list of names that is not empty',
): readonly string[] {
  if (!Array.isArray(value)) throw invalid(name, expected, value, false);
  if (value.length === 0) throw new RangeError(`Expected \`${name}\` to be ${expected}, got an empty list`);
  return [...new Set(value.map((item, index) => checkName(`${name}[${index}]`, item)))];
}

/** @throws {TypeError} unless `value` is an AbortSignal or undefined */
export function checkSignal(name: string, value: unknown): AbortSignal | undefined {
  if (value === undefined) return value;
  const signal = value as Partial<AbortSignal> | null;
  if (
    typeof signal === 'object' &&
    typeof signal?.aborted === 'boolean' &&
    typeof signal.addEventListener === 'function'
  ) {
    return signal as AbortSignal;
  }
  throw invalid(name, 'an AbortSignal', value, false);
}

/** @throws {TypeError} unless `value` is an object or undefined */
export function checkOptions<Options extends object>(value: Options | undefined, name = 'options'): Partial<Options> {
  if (value === undefined) return {};
  if (typeof value === 'object' && value !== null) return value;
  throw invalid(name, 'an object', value, false);
}

/** Describes the values that `isName` accepts. */
export const NAME = 'a string of 1 to 255 bytes of well-formed UTF-8';

const MAX_NAME_BYTES = 255;
const MAX_BYTES_PER_UNIT = 3;
const encoder = new TextEncoder();

/** Whether a value is a valid name of a key, a group or a queue. */
export function isName(value: unknown): value is string {
  if (typeof value !== 'string' || value.length === 0 || value.length > MAX_NAME_BYTES) return false;
  if (!isWellFormed(value)) return false;
  return value.length * MAX_BYTES_PER_UNIT <= MAX_NAME_BYTES || encoder.encode(value).length <= MAX_NAME_BYTES;
}

/** Of ES2024, which Node.js and browsers have had since 2023. */
const { isWellFormed: native } = String.prototype as { isWellFormed?: (this: string) => boolean };

/** Whether a string is well-formed. A lone surrogate is not: UTF-8 would replace it. */
export function isWellFormed(value: string): boolean {
  return native === undefined ? !/\p{Surrogate}/u.test(value) : native.call(value);
}

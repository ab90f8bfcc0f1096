import { InvalidArgumentError } from '@commander-js/extra-typings';
import ms from 'ms';

/** Reads a whole number from 1 up. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value >= 1) return value;
  throw new InvalidArgumentError('Expected a whole number from 1 up.');
}

/** Reads a duration such as `500ms`, `90s`, `15m`, `2h` or `1d`, in milliseconds. */
export function duration(text: string): number {
  // Not a number without a unit: it may mean seconds or milliseconds.
  const value = /^\d[\d.]*\s*[a-z]+$/i.test(text) ? ms(text as ms.StringValue) : undefined;
  if (value !== undefined && value >= 0 && value <= Number.MAX_SAFE_INTEGER) return value;
  throw new InvalidArgumentError('Expected a duration such as 500ms, 90s, 15m, 2h or 1d.');
}

/** Reads names that are separated by commas. */
export function names(text: string): string[] {
  const list = text.split(',').map((name) => name.trim());
  if (list.every((name) => name !== '')) return list;
  throw new InvalidArgumentError('Expected names that are separated by commas.');
}

/** Reads `NAME=VALUE`, and adds it to those before. */
export function header(text: string, before: Record<string, string> = {}): Record<string, string> {
  const end = text.indexOf('=');
  if (end < 1) throw new InvalidArgumentError('Expected NAME=VALUE.');
  return { ...before, [text.slice(0, end)]: text.slice(end + 1) };
}

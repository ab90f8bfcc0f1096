import { InvalidMessageError } from '../errors.js';
import { kindOf } from '../internal/describe.js';
import { propertyPath } from '../internal/message.js';
import { declaredNames } from './declared-names.js';
import { expectationOf } from './expectations.js';

/** How many issues an error has at most. */
const MOST_ISSUES = 20;

/** Stands for a name that comes from the payload. */
const HIDDEN = '[*]';

interface SafeIssue {
  readonly path: string;
  readonly expected: string;
  readonly received: string;
}

/**
 * Returns the error for a payload that a schema refuses.
 *
 * Nothing in it comes from the payload. The texts of schema libraries quote values and names, so
 * that none is used: the error says in words of its own what is expected, and shows a name only if
 * the schema contains it.
 */
export function invalidPayload(schema: object, payload: unknown, issues: unknown): InvalidMessageError {
  const given: readonly unknown[] = Array.isArray(issues) && issues.length > 0 ? issues : [undefined];
  const names = declaredNames(schema);
  const [first, ...others] = given.slice(0, MOST_ISSUES).map((issue) => safeIssue(issue, payload, names));
  return invalidMessage(first as SafeIssue, others);
}

/** Returns the error for a message whose key has no schema. */
export function unknownKey(key: unknown): InvalidMessageError {
  const received = typeof key === 'string' ? JSON.stringify(key) : kindOf(key);
  return invalidMessage({ path: 'key', expected: 'a key with a schema', received });
}

/** Returns the error for a payload that is no object. The error of a queue may show a text. */
export function noObject(payload: unknown): InvalidMessageError {
  return invalidMessage({ path: 'payload', expected: 'a plain object', received: receivedOf(payload) });
}

/**
 * Returns the error of a queue without what it shows of the payload: a value that is no JSON, and
 * the names on the way to it. Any other error stays as it is.
 */
export function withoutValues(error: unknown, payload: unknown): unknown {
  if (!InvalidMessageError.is(error) || error.issues.length > 0 || !/^payload[.[]/.test(error.path)) return error;
  const { path, value } = locate(stepsOf(error.path), payload, new Set());
  const received = typeof value === 'object' && value !== null ? error.received : receivedOf(value);
  return new InvalidMessageError(path, error.expected, received);
}

/** Returns the names in the text of a path. A symbol stands for what is no name. */
function stepsOf(path: string): PropertyKey[] {
  const steps = path.slice('payload'.length).matchAll(/\.([\w$]+)|\[(\d+)\]|\[("(?:[^"\\]|\\.)*")\]|.+/g);
  return Array.from(steps, ([, name, index, quoted]) => {
    if (quoted !== undefined) return JSON.parse(quoted) as string;
    return name ?? (index === undefined ? Symbol('no name') : Number(index));
  });
}

function invalidMessage(first: SafeIssue, others: readonly SafeIssue[] = []): InvalidMessageError {
  const issues = [first, ...others].map(({ path, expected, received }) => ({
    path,
    message: `must be ${expected}, got ${received}`,
  }));
  return new InvalidMessageError(first.path, first.expected, first.received, { issues });
}

function receivedOf(value: unknown): string {
  return value === undefined ? 'nothing' : kindOf(value);
}

function safeIssue(issue: unknown, payload: unknown, names: ReadonlySet<string> | undefined): SafeIssue {
  const { path, value } = locate(pathOf(issue), payload, names);
  return { path, expected: expectationOf(issue, value), received: receivedOf(value) };
}

/** Returns the text of a path, with the value that the payload has there. */
function locate(
  steps: readonly PropertyKey[],
  payload: unknown,
  names: ReadonlySet<string> | undefined,
): { readonly path: string; readonly value: unknown } {
  let path = 'payload';
  let value = payload;
  for (const name of steps) {
    path += isIndexOf(value, name) ? `[${String(name)}]` : nameIn(name, names);
    value = memberOf(value, name);
  }
  return { path, value };
}

/** Returns the names that lead to an issue. None if the issue cannot be read. */
function pathOf(issue: unknown): readonly PropertyKey[] {
  try {
    const { path } = issue as { readonly path?: unknown };
    if (!Array.isArray(path)) return [];
    return path.map((segment) => propertyKey(typeof segment === 'object' ? segment.key : segment));
  } catch {
    return [];
  }
}

/** The key of a `Map` may be anything. A symbol stands for what is no name. */
function propertyKey(key: unknown): PropertyKey {
  return typeof key === 'string' || typeof key === 'number' ? key : Symbol('no name');
}

/** Names a property if its name comes from the schema. */
function nameIn(name: PropertyKey, names: ReadonlySet<string> | undefined): string {
  if (typeof name === 'symbol' || (names !== undefined && !names.has(String(name)))) return HIDDEN;
  return typeof name === 'number' ? `[${name}]` : propertyPath('', name);
}

/** Whether an array has an element there. Any other number may be a value of the payload. */
function isIndexOf(value: unknown, name: PropertyKey): boolean {
  return Array.isArray(value) && typeof name !== 'symbol' && /^\d+$/.test(String(name)) && Object.hasOwn(value, name);
}

function memberOf(value: unknown, name: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
  try {
    return Reflect.get(value, name);
  } catch {
    return undefined;
  }
}

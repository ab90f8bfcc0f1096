/**
 * Describes a value in a few words, for error messages. Never shows its whole content, and never
 * throws.
 */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
    case 'bigint':
      return 'a BigInt';
    case 'function':
      return 'a function';
    case 'symbol':
      return `a symbol (${String(value)})`;
    case 'object':
      return describeObject(value);
    default:
      return Object.is(value, -0) ? '-0' : String(value);
  }
}

/** Returns the kind of a value, without its content. */
export function kindOf(value: unknown): string {
  if (value === undefined) return 'undefined';
  if (typeof value !== 'object') return `a ${typeof value}`;
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object';
}

/**
 * Describes a thrown value in one line. Of a value that is not an error, it shows only the kind,
 * because handlers can throw anything. Reading the value may throw, too.
 */
export function describeError(error: unknown): string {
  try {
    if (!isError(error)) return describe(error);
    const { name, message } = error;
    return name ? `${name}: ${message}` : `${message}`;
  } catch {
    // The described error matters, not the error of its getter.
    return 'something that cannot be read';
  }
}

/** Whether a value is an error, also one from another realm. */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
  } catch {
    // An object that cannot be read, such as a revoked proxy, is not an error.
    return false;
  }
}

function describeObject(value: object | null): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array';
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  if (typeof name !== 'string' || name === '' || name === 'Object') return 'an object';
  return name === 'Promise' ? 'a Promise (is an `await` missing?)' : `an instance of ${name}`;
}

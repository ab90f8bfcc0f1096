/** Says in a few words what a value is, for error messages: never its whole content, never a failure of its own. */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
    case 'bigint':
      return `the BigInt ${value}n`;
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

/** Says what kind of thing a value is, and nothing of its content. */
export function kindOf(value: unknown): string {
  if (typeof value !== 'object') return `a ${typeof value}`;
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object';
}

/**
 * Says in a line what failed; of what is no error only what kind of thing it is, since it may be anything. What was thrown is not ours, so reading it may
 * throw too.
 */
export function describeError(error: unknown): string {
  try {
    if (!isError(error)) return describe(error);
    const { name, message } = error;
    return name ? `${name}: ${message}` : `${message}`;
  } catch {
    // The error that is described matters, not the one of its getter.
    return 'something that cannot be read';
  }
}

/** Whether a value is an error, also of another realm. */
export function isError(value: unknown): value is Error {
  try {
    return value instanceof Error || Object.prototype.toString.call(value) === '[object Error]';
  } catch {
    // An object that cannot be read, such as a revoked proxy, is no error of ours.
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

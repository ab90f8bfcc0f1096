/**
 * Copies plain objects and arrays deeply. Other values, such as a Date or a function, are not
 * copied.
 */
export function snapshot<Value>(value: Value, copies = new Map<unknown, unknown>()): Value {
  if (!Array.isArray(value) && !isPlain(value)) return value;
  // A cycle leads to the copy that is being made.
  const begun = copies.get(value);
  if (begun !== undefined) return begun as Value;
  const copy: object = Array.isArray(value) ? [] : {};
  copies.set(value, copy);
  for (const [name, part] of Object.entries(value)) {
    Object.defineProperty(copy, name, {
      value: snapshot(part, copies),
      writable: true,
      enumerable: true,
      configurable: true,
    });
  }
  return copy as Value;
}

function isPlain(value: unknown): value is object {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

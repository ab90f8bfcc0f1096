import { isPlainObject } from '../internal/message.js';

/** Enough for a schema with thousands of properties. */
const MOST_OBJECTS = 20_000;

/** `$` is the scope of a type of arktype, with all keywords of the library. */
const SKIPPED = new Set<PropertyKey>(['~standard', '$', 'constructor', 'prototype']);

const known = new WeakMap<object, ReadonlySet<string> | undefined>();

/**
 * Returns every text that a schema contains, as a name or as a value: among them all properties
 * that it declares. A name that is not there, such as a key of a record, comes from a payload.
 *
 * Undefined if the schema shows no structure, because it is written by hand.
 */
export function declaredNames(schema: object): ReadonlySet<string> | undefined {
  if (!known.has(schema)) known.set(schema, textsOf(schema));
  return known.get(schema);
}

function textsOf(schema: object): ReadonlySet<string> | undefined {
  const texts = new Set<string>();
  const found = new Set<object>([schema]);
  // A set is iterated in the order of insertion, with what is added meanwhile.
  for (const part of found) {
    if (found.size > MOST_OBJECTS) break;
    for (const name of Reflect.ownKeys(part)) {
      if (SKIPPED.has(name)) continue;
      if (typeof name === 'string') texts.add(name);
      const value = read(part, name);
      if (typeof value === 'string') texts.add(value);
      else if (typeof value === 'object' && value !== null) found.add(value);
    }
  }
  return found.size > 1 ? texts : undefined;
}

/**
 * Reads a property. A getter runs only on a plain object, such as the properties of a recursive
 * schema: elsewhere, libraries have getters that change what they belong to.
 */
function read(part: object, name: PropertyKey): unknown {
  const { get, value } = Reflect.getOwnPropertyDescriptor(part, name) as PropertyDescriptor;
  if (get === undefined || !isPlainObject(part)) return value;
  try {
    return get.call(part);
  } catch {
    return undefined;
  }
}

/**
 * Returns an object with every member of another one, some of them replaced. Methods run on the
 * other object, since they may use private members. Its prototype is the other object, so that
 * `instanceof` holds.
 *
 * Not a proxy: a member that is replaced costs no more than any property.
 */
export function delegate<Target extends object>(target: Target, replaced: Readonly<Record<string, unknown>>): Target {
  const members = Object.create(target) as object;
  for (const name of memberNames(target)) {
    if (!Object.hasOwn(replaced, name)) Object.defineProperty(members, name, delegated(target, name));
  }
  const delegating = Object.create(members) as object;
  for (const [name, value] of Object.entries(replaced))
    Object.defineProperty(delegating, name, { value, writable: true, configurable: true, enumerable: false });
  return delegating as Target;
}

/** The names of all members, without those that every object has. */
function memberNames(target: object): Set<PropertyKey> {
  const names = new Set<PropertyKey>();
  let owner: object | null = target;
  while (owner !== null && owner !== Object.prototype) {
    for (const name of Reflect.ownKeys(owner)) names.add(name);
    owner = Object.getPrototypeOf(owner) as object | null;
  }
  names.delete('constructor');
  return names;
}

function delegated(target: object, name: PropertyKey): PropertyDescriptor {
  let method: { readonly of: unknown; readonly bound: unknown } | undefined;
  return {
    configurable: true,
    get: () => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      // One function for each method, as on the target.
      if (method?.of !== value) method = { of: value, bound: value.bind(target) };
      return method.bound;
    },
    set: (value) => Reflect.set(target, name, value),
  };
}

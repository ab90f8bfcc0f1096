import type { ManagedQueue } from 'sluice';
import type { BackendCapabilities } from 'sluice/testing';
import { MANAGED_STORE, ManagedStore, ManagedStoreBackend } from '../managed-store.js';
import type { Broken } from './wrapped.js';

export type Change = (queue: ManagedStoreBackend) => Partial<ManagedQueue>;

/** A managed queue with one defect, in the backend or in its store. */
export interface ManagedDefect extends Omit<Broken, 'create' | 'capabilities'> {
  /** Other methods of the backend. */
  readonly change?: Change;
  readonly store?: ManagedStore;
  /** What differs from `MANAGED_STORE`. */
  readonly capabilities?: BackendCapabilities;
}

/** Turns defects into broken backends, each on a store of its own. */
export function brokenQueues(defects: readonly ManagedDefect[]): readonly Broken[] {
  return defects.map(({ change = () => ({}), store = new ManagedStore(), capabilities, ...defect }) => ({
    ...defect,
    capabilities: { ...MANAGED_STORE, disconnect, ...capabilities },
    create: (_, needs) => {
      const queue = new ManagedStoreBackend({ ...needs, store });
      return overriding(queue, change(queue));
    },
  }));
}

async function disconnect(backend: unknown): Promise<void> {
  await (backend as ManagedStoreBackend).disconnect();
}

/** An object with other properties. Its own methods do not see them. */
function overriding<Target extends object>(target: Target, change: Partial<Target>): Target {
  return new Proxy(target, {
    get: (_, name) => {
      if (name in change) return Reflect.get(change, name, change);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

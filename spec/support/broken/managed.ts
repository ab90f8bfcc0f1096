import { setImmediate as turn } from 'node:timers/promises';
import { BehaviorSubject, distinctUntilChanged, type Observable, takeWhile } from 'rxjs';
import type { ManagedQueue, QueueStatus } from 'sluice';
import type { BackendCapabilities } from 'sluice/testing';
import { MANAGED_STORE, ManagedStore, ManagedStoreBackend, type ManagedStoreOptions } from '../managed-store.js';
import type { Broken } from './wrapped.js';

/** A managed queue that exposes what its defects change. */
export class DefectiveQueue extends ManagedStoreBackend {
  readonly store: ManagedStore;
  readonly declared: readonly string[];
  /** The status of the queue. `status$` is made of it. */
  readonly status = new BehaviorSubject<QueueStatus>('idle');

  constructor(options: ManagedStoreOptions) {
    super(options);
    this.store = options.store;
    this.declared = options.groups ?? ['default'];
    super.status$.subscribe((status) => status !== 'connecting' && this.status.next(status));
  }

  override get status$(): Observable<QueueStatus> {
    return this.status.pipe(
      distinctUntilChanged(),
      takeWhile((status) => status !== 'closed', true),
    );
  }

  /** Reports a short loss of the connection. */
  override async disconnect(): Promise<void> {
    this.status.next('disconnected');
    await turn();
    this.status.next('connected');
  }
}

export type Change = (queue: DefectiveQueue) => Partial<ManagedQueue>;

/** A managed queue with one defect, in the backend or in its store. */
export interface ManagedDefect extends Omit<Broken, 'create' | 'capabilities'> {
  /** Replaces methods of the backend. */
  readonly change?: Change;
  readonly store?: ManagedStore;
  /** Capabilities that differ from `MANAGED_STORE`. */
  readonly capabilities?: BackendCapabilities;
}

/** Turns defects into broken backends, each on its own store. */
export function brokenQueues(defects: readonly ManagedDefect[]): readonly Broken[] {
  return defects.map(({ change = () => ({}), store = new ManagedStore(), capabilities, ...defect }) => ({
    ...defect,
    capabilities: { ...MANAGED_STORE, disconnect, ...capabilities },
    create: (_, needs) => {
      const queue = new DefectiveQueue({ ...needs, store });
      return overriding(queue, change(queue));
    },
  }));
}

async function disconnect(backend: unknown): Promise<void> {
  await (backend as DefectiveQueue).disconnect();
}

/** Overrides properties of an object. Its own methods do not see them. */
function overriding<Target extends object>(target: Target, change: Partial<Target>): Target {
  return new Proxy(target, {
    get: (_, name) => {
      if (name in change) return Reflect.get(change, name, change);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

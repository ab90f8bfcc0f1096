import { type AsyncHook, AsyncLocalStorage, createHook } from 'node:async_hooks';

/** A timer, socket or pipe. It knows whether it keeps the process alive. */
interface Resource {
  hasRef?(): unknown;
}

/**
 * Records the timers, connections and child processes of a function, and of all that it starts.
 *
 * Resources of other code in the same process do not count.
 */
export class ResourceWatch {
  readonly #here = new AsyncLocalStorage<ResourceWatch>();
  readonly #created = new Map<number, readonly [type: string, resource: Resource]>();
  readonly #hook: AsyncHook = createHook({
    init: (id, type, _trigger, resource: Resource) => {
      if (this.#here.getStore() === this && typeof resource.hasRef === 'function')
        this.#created.set(id, [type, resource]);
    },
    // A fired timer still has a reference.
    destroy: (id) => void this.#created.delete(id),
  });

  /** Runs a function and records its resources until `stop()`. */
  async during(run: () => Promise<void>): Promise<void> {
    this.#hook.enable();
    await this.#here.run(this, run);
  }

  stop(): void {
    this.#hook.disable();
    this.#created.clear();
  }

  /** The types of the resources that keep the process alive. */
  get active(): string[] {
    return [...this.#created.values()].filter(([, resource]) => resource.hasRef?.() === true).map(([type]) => type);
  }
}

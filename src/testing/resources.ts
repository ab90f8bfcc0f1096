import { type AsyncHook, AsyncLocalStorage, createHook } from 'node:async_hooks';

/** A timer, a socket, a pipe: what can keep a process alive can say whether it does. */
interface Resource {
  hasRef?(): unknown;
}

/**
 * What a piece of code, and all that it starts, leaves behind that keeps the process alive: timers, connections, child processes.
 *
 * What others do in the same process meanwhile does not count.
 */
export class ResourceWatch {
  readonly #here = new AsyncLocalStorage<ResourceWatch>();
  readonly #made = new Map<number, readonly [type: string, resource: Resource]>();
  readonly #hook: AsyncHook = createHook({
    init: (id, type, _trigger, resource: Resource) => {
      if (this.#here.getStore() === this && typeof resource.hasRef === 'function') this.#made.set(id, [type, resource]);
    },
    // A timer that has fired still says that it has a reference.
    destroy: (id) => void this.#made.delete(id),
  });

  /** Runs a function, and watches what it makes, now and later, until the watch is stopped. */
  async during(run: () => Promise<void>): Promise<void> {
    this.#hook.enable();
    await this.#here.run(this, run);
  }

  stop(): void {
    this.#hook.disable();
    this.#made.clear();
  }

  /** What is still active, by its kind. */
  get active(): string[] {
    return [...this.#made.values()].filter(([, resource]) => resource.hasRef?.() === true).map(([type]) => type);
  }
}

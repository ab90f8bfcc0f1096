import { AsyncLocalStorage } from 'node:async_hooks';

/** Asynchronous contexts with names, and notes of what ran in which. */
export class Contexts {
  readonly notes: string[] = [];
  readonly #storage = new AsyncLocalStorage<string>();

  get current(): string {
    return this.#storage.getStore() ?? 'none';
  }

  /** Runs a task in the context of that name. */
  in<Result>(name: string, task: () => Result): Result {
    return this.#storage.run(name, task);
  }

  /** Makes the context one of that name, as a tracer does. */
  enter(name: string): void {
    this.#storage.enterWith(name);
  }

  /** Notes that something ran in the current context. */
  note(what: string): void {
    this.notes.push(`${what} in ${this.current}`);
  }
}

import { AsyncLocalStorage } from 'node:async_hooks';

/** Named asynchronous contexts, and a log of what ran in which context. */
export class Contexts {
  readonly notes: string[] = [];
  readonly #storage = new AsyncLocalStorage<string>();

  get current(): string {
    return this.#storage.getStore() ?? 'none';
  }

  /** Runs a task in a named context. */
  in<Result>(name: string, task: () => Result): Result {
    return this.#storage.run(name, task);
  }

  /** Enters a named context, as a tracer does. */
  enter(name: string): void {
    this.#storage.enterWith(name);
  }

  /** Records that something ran in the current context. */
  note(what: string): void {
    this.notes.push(`${what} in ${this.current}`);
  }
}

import { Subscriber } from 'rxjs';
import { Sink } from './sink.js';

/** The part of `AsyncResource` that this module uses. */
interface Resource {
  runInAsyncScope<Result>(task: () => Result): Result;
}

/** The part of `node:async_hooks` that this module uses. */
interface AsyncHooks {
  readonly AsyncResource: new (type: string) => Resource;
  readonly AsyncLocalStorage: new () => object;
}

/**
 * Not imported, since browsers have no such module. Undefined there and in Node before 20.16: code
 * then runs in the context of its caller.
 */
const hooks = (globalThis as { process?: { getBuiltinModule?(id: string): unknown } }).process?.getBuiltinModule?.(
  'node:async_hooks',
) as AsyncHooks | undefined;

/**
 * The property of a new promise that shows that a storage is in use; undefined where none does.
 *
 * Up to Node 22, the first storage enables async hooks, which number every promise. From Node 24 on
 * and on other runtimes, storages need no hooks.
 */
const promiseId =
  hooks !== undefined && 'kResourceStore' in new hooks.AsyncLocalStorage()
    ? Object.getOwnPropertySymbols(new hooks.AsyncResource('SluiceProbe')).find(
        ({ description }) => description === 'async_id_symbol',
      )
    : undefined;

/** Stays true: an application that has used a storage uses it again. */
let inUse = hooks !== undefined && promiseId === undefined;

const noop = (): void => {};

/**
 * Whether an `AsyncLocalStorage` may be in use, so that contexts can differ.
 *
 * Entering a context takes 0.2 µs, half the time of a delivery. This check takes no measurable
 * time: the compiler removes a promise that is only inspected.
 */
export function isContextInUse(): boolean {
  if (!inUse && promiseId !== undefined) inUse = promiseId in new Promise(noop);
  return inUse;
}

/** Captures what every `AsyncLocalStorage` holds where it is constructed. */
export class AsyncContext {
  readonly #resource = hooks && new hooks.AsyncResource('SluiceContext');

  /** Runs a task in the context. Returns and throws what the task does. */
  run<Result>(task: () => Result): Result {
    const resource = this.#resource;
    if (resource === undefined || !isContextInUse()) return task();
    return resource.runInAsyncScope(() => runApart(task));
  }

  /** Returns a function that runs the task in the context. */
  bind<Given extends unknown[], Result>(task: (...given: Given) => Result): (...given: Given) => Result {
    return (...given) => (isContextInUse() ? this.#apply(task, given) : task(...given));
  }

  #apply<Given extends unknown[], Result>(task: (...given: Given) => Result, given: Given): Result {
    return this.run(() => task(...given));
  }
}

/**
 * Runs a task in a resource of its own. `enterWith` changes the resource of its caller: without
 * this, it would change the captured context for all later tasks.
 */
function runApart<Result>(task: () => Result): Result {
  return new (hooks as AsyncHooks).AsyncResource('SluiceTask').runInAsyncScope(task);
}

/**
 * Wraps a subscriber so that it is called in the context of this call, wherever the source emits.
 *
 * Returns a `Sink` that enters the context itself as it is: entering once is enough.
 */
export function inContext<Value>(subscriber: Subscriber<Value>, context?: AsyncContext): Subscriber<Value> {
  const isThere = subscriber instanceof Sink && subscriber.entersContext;
  return hooks === undefined || isThere ? subscriber : new ContextSubscriber(subscriber, context);
}

class ContextSubscriber<Value> extends Subscriber<Value> {
  readonly #context: AsyncContext;

  constructor(destination: Subscriber<Value>, context = new AsyncContext()) {
    super(destination);
    this.#context = context;
  }

  protected override _next(value: Value): void {
    if (isContextInUse()) this.#nextInContext(value);
    else this.destination.next(value);
  }

  protected override _error(error: unknown): void {
    this.#context.run(() => super._error(error));
  }

  protected override _complete(): void {
    this.#context.run(() => super._complete());
  }

  /** Separate from `_next`, where the closure would slow down every call. */
  #nextInContext(value: Value): void {
    this.#context.run(() => this.destination.next(value));
  }
}

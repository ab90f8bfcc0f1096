import { DONE } from './answers.js';
import { AsyncContext, isContextInUse } from './async-context.js';
import { processWide } from './process-wide.js';

/** How long a run of microtasks may last before promises wait for a macrotask, in milliseconds. */
const BUDGET = 4;

/** The most promises that are answered between two looks at the clock. */
const LONGEST_STRIDE = 128;

/** The most looks at the clock in one run: more than fit into the budget, so that a run ends too if a test has stopped the clock. */
const MOST_LOOKS = 512;

/** A promise that was asked for while promises wait. */
interface Waiting {
  readonly open: () => void;
  /** The promise of a `publish`; the publishes that follow at once may share it. */
  readonly shared?: Promise<void>;
}

/**
 * One clock for all the promises that the library answers, so that no loop over them starves the event loop.
 *
 * A loop of `await`s on promises that are settled already never leaves the microtask queue: no timer fires, no socket is read. When such a run has
 * lasted some milliseconds, every promise asked for from then on waits for one macrotask, and they settle in the order in which they were asked for.
 * Only the promises wait; what a call does, it has done when it returns. One clock for all of them, since a publisher that is let through while its
 * consumer waits would build up a backlog.
 */
export class Turn {
  readonly #now: () => number;
  readonly #macrotask: (task: () => void) => void;
  readonly #anotherMacrotask: (task: () => void) => void;
  #running = false;
  #startedAt = 0;
  #checkedAt = 0;
  #looks = 0;
  #stride = 1;
  #left = 1;
  #full = false;
  #waiting: Waiting[] = [];

  /**
   * @param macrotask runs a task in a macrotask, unless a test has replaced what it is made of
   * @param anotherMacrotask the same by other means: whichever comes first lets the promises go on
   */
  constructor(now: () => number, macrotask: (task: () => void) => void, anotherMacrotask: (task: () => void) => void) {
    this.#now = now;
    this.#macrotask = macrotask;
    this.#anotherMacrotask = anotherMacrotask;
  }

  // The three ways of answering are split from their waiting: a closure in a function costs every call of it, also those that never make it.

  /** Answers a call: with a promise that is resolved, or will be in its turn. */
  done(): Promise<void> {
    return this.#count() ? this.#doneLater() : DONE;
  }

  /** A promise of a value, resolved now or in its turn. */
  value<Value>(value: Value): Promise<Value> {
    return this.#count() ? this.#valueLater(value) : Promise.resolve(value);
  }

  /** Resolves a promise that was handed out before, now or in its turn. */
  resolve<Value>(resolve: (value: Value) => void, value: Value): void {
    if (this.#count()) this.#resolveLater(resolve, value);
    else resolve(value);
  }

  /** Runs a task now or in its turn: for what goes on by a way of its own. */
  run(task: () => void): void {
    if (this.#count()) this.#runLater(task);
    else task();
  }

  #doneLater(): Promise<void> {
    const last = this.#waiting.at(-1);
    if (last?.shared !== undefined) return last.shared;
    let open!: () => void;
    const shared = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#waiting.push({ open, shared });
    return shared;
  }

  #valueLater<Value>(value: Value): Promise<Value> {
    return new Promise((resolve) => this.#resolveLater(resolve, value));
  }

  #resolveLater<Value>(resolve: (value: Value) => void, value: Value): void {
    this.#waiting.push({ open: () => resolve(value) });
  }

  /** Keeps the asynchronous context of this call: the macrotask has that of another call. */
  #runLater(task: () => void): void {
    this.#waiting.push({ open: isContextInUse() ? new AsyncContext().bind(task) : task });
  }

  /** Counts one promise; says whether it has to wait. */
  #count(): boolean {
    if (this.#full) return true;
    return --this.#left === 0 && this.#look();
  }

  #look(): boolean {
    const now = this.#now();
    if (!this.#running) {
      this.#running = true;
      this.#startedAt = now;
      this.#stride = 1;
      this.#looks = 0;
      this.#macrotask(this.#end);
    } else {
      const remaining = this.#startedAt + BUDGET - now;
      if (remaining <= 0 || ++this.#looks > MOST_LOOKS) {
        this.#full = true;
        // Promises wait from here on, and the first macrotask may never come: asked for here, the other costs next to nothing.
        const waiting = this.#waiting;
        // If the run has ended since, the other comes too late: it would let promises go on for longer than the budget, before timers run.
        this.#anotherMacrotask(() => this.#waiting === waiting && this.#end());
        return true;
      }
      // Look again before the budget is over, as far as the pace since the last look tells; at once if the clock tells nothing.
      const affordable = (this.#stride * remaining) / (now - this.#checkedAt) || 1;
      this.#stride = Math.max(1, Math.min(this.#stride * 2, LONGEST_STRIDE, Math.ceil(affordable)));
    }
    this.#checkedAt = now;
    this.#left = this.#stride;
    return false;
  }

  /** A macrotask has come, of this run or of one before: the run is over, and the promises that wait settle. */
  readonly #end = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#running = false;
    this.#full = false;
    this.#left = 1;
    for (const { open } of waiting) open();
  };
}

/** The part of the language that TypeScript knows from ES2024 on. */
interface AsyncAtomics {
  waitAsync(cell: Int32Array, index: number, value: number, timeout: number): { readonly value: PromiseLike<string> };
}

// Taken here, so that a test that fakes the timers later does not stop the promises.
const { performance, setImmediate, setTimeout, MessageChannel } = globalThis as typeof globalThis & {
  setImmediate?: (task: () => void) => void;
};
const now = performance.now.bind(performance);
const { waitAsync } = (globalThis.Atomics ?? {}) as typeof Atomics & AsyncAtomics;

/** Later, after pending timers and input had their chance: `setImmediate` in Node, a zero timeout elsewhere. */
function macrotask(task: () => void): void {
  if (setImmediate === undefined) setTimeout(task, 0);
  else setImmediate(task);
}

/** How long the first macrotask may take before the promises go on without it, in milliseconds. */
const LONGEST_WAIT = 20;

/** Later, by means that fake timers leave alone, in case they were at work before this module was loaded. */
function anotherMacrotask(task: () => void): void {
  for (const way of [waitForCell, sendMessage]) {
    try {
      way(task);
      return;
    } catch {
      // Replaced or missing: the next way will do. If none does, the first macrotask is the only one.
    }
  }
}

/** Part of the language itself: the wait for a cell that nobody changes ends with its time. Until then, timers and input have had their chance. */
function waitForCell(task: () => void): void {
  if (!/\[native code\]/.test(String(waitAsync))) throw new Error('A test has replaced Atomics.waitAsync');
  // Missing in a page that is not cross-origin isolated.
  const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const { value: end } = waitAsync(cell, 0, 0, LONGEST_WAIT);
  const letGo = stayAlive();
  void end.then(() => {
    letGo();
    task();
  });
}

/** Keeps a process of Node alive, which a wait for a cell does not, until it is called back. */
function stayAlive(): () => void {
  try {
    const { port1 } = new MessageChannel();
    port1.onmessage = () => {};
    return () => port1.close();
  } catch {
    // Replaced: harmless where anything else keeps the process alive.
    return () => {};
  }
}

/** A last resort: Node delivers dozens of messages in a row before it lets timers run. */
function sendMessage(task: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    task();
  };
  port2.postMessage(undefined);
}

export const turn: Turn = processWide('turn', () => new Turn(now, macrotask, anotherMacrotask));

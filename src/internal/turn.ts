import { DONE } from './answers.js';
import { AsyncContext, isContextInUse } from './async-context.js';
import { processWide } from './process-wide.js';

/** How long a run of microtasks may take before promises wait for a macrotask, in milliseconds. */
const BUDGET = 4;

/** The most promises between two reads of the clock. */
const MAX_STRIDE = 128;

/**
 * The most reads of the clock in one run, more than fit into the budget. So a run also ends if a
 * test has stopped the clock.
 */
const MAX_READS = 512;

/** When an other macrotask that was requested is given up, in milliseconds. */
const LONGEST_EXPECTATION = 1000;

/** A promise that waits for the macrotask. */
interface Waiting {
  readonly open: () => void;
  /** The promise of a `publish`. Publishes that follow directly share it. */
  readonly shared?: Promise<void>;
}

/**
 * Limits how long the promises of the library can keep the event loop in microtasks.
 *
 * A loop of `await`s on resolved promises never leaves the microtask queue: no timer fires, and no
 * socket is read. When such a run has lasted some milliseconds, every further promise waits for one
 * macrotask. They resolve in order. Only the promises wait: the effect of a call is synchronous.
 * All promises share one instance. Otherwise a publisher could continue while its consumer waits,
 * and build up a backlog.
 */
export class Turn {
  readonly #now: () => number;
  readonly #macrotask: (task: () => void) => void;
  readonly #anotherMacrotask: (task: () => void) => void;
  #running = false;
  #startedAt = 0;
  #checkedAt = 0;
  #reads = 0;
  #stride = 1;
  #left = 1;
  #full = false;
  /** When a requested other macrotask must have run, by `now`; 0 while none is requested. */
  #otherExpectedBy = 0;
  #waiting: Waiting[] = [];

  /**
   * @param macrotask runs a task in a macrotask, unless a test has replaced its timers
   * @param anotherMacrotask does so by other means: the first of the two releases the promises
   */
  constructor(now: () => number, macrotask: (task: () => void) => void, anotherMacrotask: (task: () => void) => void) {
    this.#now = now;
    this.#macrotask = macrotask;
    this.#anotherMacrotask = anotherMacrotask;
  }

  // Each method is separate from its waiting part: a closure would slow down every call, even if it
  // is not created.

  /** Returns a promise that is resolved now, or in its turn. */
  done(): Promise<void> {
    return this.#count() ? this.#doneLater() : DONE;
  }

  /** Like `done`, in the same call as another promise, which was counted: they count as one. */
  doneWithLast(): Promise<void> {
    return this.#full ? this.#doneLater() : DONE;
  }

  /** Returns a promise of a value, resolved now or in its turn. */
  value<Value>(value: Value): Promise<Value> {
    return this.#count() ? this.#valueLater(value) : Promise.resolve(value);
  }

  /** Resolves an existing promise, now or in its turn. */
  resolve<Value>(resolve: (value: Value) => void, value: Value): void {
    if (this.#count()) this.#resolveLater(resolve, value);
    else resolve(value);
  }

  /** Runs a task now or in its turn. */
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

  /** Keeps the async context of this call: the macrotask belongs to another call. */
  #runLater(task: () => void): void {
    this.#waiting.push({ open: isContextInUse() ? new AsyncContext().bind(task) : task });
  }

  /** Counts one promise. Returns whether it must wait. */
  #count(): boolean {
    if (this.#full) return true;
    return --this.#left === 0 && this.#readClock();
  }

  #readClock(): boolean {
    const now = this.#now();
    if (!this.#running) {
      this.#running = true;
      this.#startedAt = now;
      this.#stride = 1;
      this.#reads = 0;
      this.#macrotask(this.#end);
    } else {
      const remaining = this.#startedAt + BUDGET - now;
      if (remaining <= 0 || ++this.#reads > MAX_READS) {
        this.#full = true;
        // Promises wait from here on, and the first macrotask may never run.
        if (now >= this.#otherExpectedBy) this.#requestOther(now);
        return true;
      }
      // Read the clock again before the budget is used up, judging by the pace so far. Read it
      // every time if it stands still.
      const affordable = (this.#stride * remaining) / (now - this.#checkedAt) || 1;
      this.#stride = Math.max(1, Math.min(this.#stride * 2, MAX_STRIDE, Math.ceil(affordable)));
    }
    this.#checkedAt = now;
    this.#left = this.#stride;
    return false;
  }

  /** Requests the other macrotask, unless one is on its way: that costs as much as many promises. */
  #requestOther(now: number): void {
    this.#otherExpectedBy = now + LONGEST_EXPECTATION;
    const waiting = this.#waiting;
    this.#anotherMacrotask(() => {
      this.#otherExpectedBy = 0;
      // If that run has ended, this macrotask is too early for the next one: it would start a new
      // budget before timers run.
      if (this.#waiting === waiting) this.#end();
      else if (this.#full) this.#requestOther(this.#now());
    });
  }

  /** A macrotask runs: the run is over, and the waiting promises resolve. */
  readonly #end = (): void => {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#running = false;
    this.#full = false;
    this.#left = 1;
    for (const { open } of waiting) open();
  };
}

/** From ES2024, which the compiler target does not include. */
interface AsyncAtomics {
  waitAsync(cell: Int32Array, index: number, value: number, timeout: number): { readonly value: PromiseLike<string> };
}

// Captured at load time: fake timers of a later test must not stop the promises.
const { performance, setImmediate, setTimeout, MessageChannel } = globalThis as typeof globalThis & {
  setImmediate?: (task: () => void) => void;
};
const now = performance.now.bind(performance);
const { waitAsync } = (globalThis.Atomics ?? {}) as typeof Atomics & AsyncAtomics;

/** Runs after pending timers and input: `setImmediate` in Node.js, a zero timeout elsewhere. */
function macrotask(task: () => void): void {
  if (setImmediate === undefined) setTimeout(task, 0);
  else setImmediate(task);
}

/** How long to wait for the first macrotask, in milliseconds. */
const LONGEST_WAIT = 20;

/**
 * Runs a task by means that fake timers do not replace, in case they were installed before this
 * module was loaded.
 */
function anotherMacrotask(task: () => void): void {
  for (const way of [waitForCell, sendMessage]) {
    try {
      way(task);
      return;
    } catch {
      // Replaced or missing: try the next one. If all fail, only the first macrotask remains.
    }
  }
}

/** Waits for a memory cell that never changes, until a timeout. Timers and input run meanwhile. */
function waitForCell(task: () => void): void {
  if (!/\[native code\]/.test(String(waitAsync))) throw new Error('A test has replaced Atomics.waitAsync');
  // Missing in a page without cross-origin isolation.
  const cell = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const { value: end } = waitAsync(cell, 0, 0, LONGEST_WAIT);
  const release = stayAlive();
  void end.then(() => {
    release();
    task();
  });
}

/**
 * Keeps a Node.js process alive, which the wait for a cell does not, until the returned function is
 * called.
 */
function stayAlive(): () => void {
  try {
    const { port1 } = new MessageChannel();
    port1.onmessage = () => {};
    return () => port1.close();
  } catch {
    // Replaced by a test: harmless if anything else keeps the process alive.
    return () => {};
  }
}

/** The last resort: Node.js delivers dozens of messages in a row before it runs timers. */
function sendMessage(task: () => void): void {
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = () => {
    port1.close();
    task();
  };
  port2.postMessage(undefined);
}

export const turn: Turn = processWide('turn', () => new Turn(now, macrotask, anotherMacrotask));

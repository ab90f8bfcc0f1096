/**
 * The timers of the browser, before the program gets virtual ones. Import this module first.
 */
const { setTimeout, setInterval, performance, MessageChannel } = globalThis;

/** Real milliseconds. */
export const realNow = performance.now.bind(performance);

export const every = (delay: number, task: () => void): void => {
  setInterval(task, delay);
};

export const sleep = (delay: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, delay);
  });

const { port1, port2 } = new MessageChannel();
const tasks: (() => void)[] = [];
port1.onmessage = () => tasks.shift()?.();

/** Runs a task in a macrotask, without the 4 ms that browsers add to nested timers. */
function soon(task: () => void): void {
  tasks.push(task);
  port2.postMessage(undefined);
}

let outstanding = 0;

/**
 * The `setTimeout` that the library captures when it is loaded. It waits for a macrotask with it
 * when its promises have kept the event loop busy, so `settle` knows when it waits.
 */
export function trackedTimeout(task: () => void, delay = 0, ...values: unknown[]): number {
  if (delay > 0) return setTimeout(task, delay, ...values) as unknown as number;
  outstanding++;
  soon(() => {
    outstanding--;
    task();
  });
  return 0;
}

/** How long to wait for a program that never settles, such as a loop of publishes, in milliseconds. */
const LONGEST_WAIT = 50;

/**
 * Waits until all promises have settled that need neither a timer nor the network. Resolves to
 * whether they have.
 */
export async function settle(): Promise<boolean> {
  const until = realNow() + LONGEST_WAIT;
  do await new Promise<void>(soon);
  while (outstanding > 0 && realNow() < until);
  return outstanding === 0;
}

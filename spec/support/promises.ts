const { setImmediate: later } = globalThis;

/** Waits for `count` macrotasks. By then, all microtasks and queued promise reactions have run. */
export async function turns(count = 3): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise<void>((resolve) => later(resolve));
}

/**
 * Waits until a condition holds and checks it after each macrotask. If it never holds, jest's
 * timeout ends the wait.
 */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await turns(1);
}

export type Outcome<Value> =
  | { readonly state: 'pending' }
  | { readonly state: 'fulfilled'; readonly value: Value }
  | { readonly state: 'rejected'; readonly reason: unknown };

/** Returns the state of a promise after some macrotasks. */
export async function outcomeOf<Value>(promise: Promise<Value>): Promise<Outcome<Value>> {
  let outcome: Outcome<Value> = { state: 'pending' };
  promise.then(
    (value) => {
      outcome = { state: 'fulfilled', value };
    },
    (reason: unknown) => {
      outcome = { state: 'rejected', reason };
    },
  );
  await turns();
  return outcome;
}

export async function stateOf(promise: Promise<unknown>): Promise<Outcome<unknown>['state']> {
  return (await outcomeOf(promise)).state;
}

/** Returns the reason that a promise was rejected with. */
export async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  const outcome = await outcomeOf(promise);
  if (outcome.state !== 'rejected') throw new Error(`Expected a rejection, but the promise is ${outcome.state}`);
  return outcome.reason;
}

/** Waits for a promise's rejection and returns the error. */
export function failureOf(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => Promise.reject(new Error('Expected a rejection, but the promise is fulfilled')),
    (error) => error,
  );
}

/** Returns what a function throws. */
export function thrownBy(run: () => unknown): unknown {
  try {
    run();
  } catch (error) {
    return error;
  }
  throw new Error('Expected the function to throw');
}

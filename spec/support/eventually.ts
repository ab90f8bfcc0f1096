import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

/**
 * Longer than any operation takes on a busy machine, but shorter than a test's timeout, so that the
 * message says what is missing.
 */
const DEADLINE = 100_000;

/**
 * Waits until a condition holds that other processes bring about. Leaves them the processor
 * meanwhile.
 * @param state returns the state to print if the condition never holds
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  state: () => unknown = () => String(condition),
): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`The condition did not hold within ${DEADLINE / 1000} s: ${inspect(state(), { depth: 4 })}`);
    await sleep(10);
  }
}

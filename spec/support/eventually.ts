import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from 'node:util';

/** Far longer than anything takes, even on a busy machine, and less than a test may take: it is told what did not come. */
const DEADLINE = 100_000;

/**
 * Waits until something holds that other processes bring about, and leaves them the processor meanwhile.
 * @param state told when it never comes, for the message
 */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  state: () => unknown = () => String(condition),
): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`Did not come to be in ${DEADLINE / 1000} s: ${inspect(state(), { depth: 4 })}`);
    await sleep(10);
  }
}

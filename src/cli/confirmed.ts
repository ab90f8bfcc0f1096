import { setTimeout as sleep } from 'node:timers/promises';
import { CommandError } from './failures.js';

/** How long a command waits at its end for a server that does not answer, in milliseconds. */
const LONGEST_END = 15_000;

/**
 * Waits for the last settlements of a command.
 * @throws {CommandError} (a rejection) if the server does not confirm them in time
 */
export async function confirmed(settlements: Promise<unknown>): Promise<void> {
  const timer = new AbortController();
  const isLate = await Promise.race([
    settlements.then(() => false),
    sleep(LONGEST_END, true, { signal: timer.signal }),
  ]).finally(() => timer.abort());
  if (isLate)
    throw new CommandError(
      `The server has not answered for ${LONGEST_END / 1000} s. Messages in flight come again when their leases end`,
    );
}

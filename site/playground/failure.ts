import { describeThrown, inspect } from './format.js';
import type { ProgramError } from './protocol.js';

/** The name of the reader's program in stacks. */
export const PROGRAM = 'playground.ts';

/**
 * Describes what a program has thrown.
 *
 * @param url where the program was loaded from, for browsers that ignore `sourceURL` in stacks
 */
export function describeFailure(thrown: unknown, url: string): ProgramError {
  if (!(thrown instanceof Error)) return { message: `Uncaught ${inspect(thrown)}` };
  const { cause } = thrown;
  const reason = cause instanceof Error ? ` (cause: ${describeThrown(cause)})` : '';
  const message = `${describeThrown(thrown)}${reason}`;
  try {
    const line = lineIn(String(thrown.stack), thrown.message, url);
    return { message, ...(line !== undefined && { line }) };
  } catch {
    // A getter of the program throws: there is no line to show.
    return { message };
  }
}

/** Returns the line of the innermost frame of the program. */
export function lineIn(stack: string, message: string, url: string): number | undefined {
  // A line of the message may look like a frame.
  const start = message === '' ? -1 : stack.indexOf(message);
  const frames = start < 0 ? stack : stack.slice(start + message.length);
  for (const frame of frames.split('\n')) {
    for (const file of [PROGRAM, url]) {
      const at = frame.lastIndexOf(`${file}:`);
      const line = at < 0 ? undefined : /^(\d+)(?::\d+)?/.exec(frame.slice(at + file.length + 1))?.[1];
      if (line !== undefined) return Number(line);
    }
  }
  return undefined;
}

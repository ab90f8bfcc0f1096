import { describeThrown, inspect } from './format.js';
import type { ProgramError } from './protocol.js';

/** The name of the reader's program in stacks. */
export const PROGRAM = 'playground.ts';

/** The most characters of a message: a page takes minutes to show millions. */
const LONGEST = 5_000;

/**
 * Describes what a program has thrown.
 *
 * @param url where the program was loaded from, for browsers that ignore `sourceURL` in stacks
 */
export function describeFailure(thrown: unknown, url: string): ProgramError {
  const { message, ...place } = describe(thrown, url);
  return { message: message.length > LONGEST ? `${message.slice(0, LONGEST)}…` : message, ...place };
}

function describe(thrown: unknown, url: string): ProgramError {
  const isError = attempt(() => thrown instanceof Error) === true;
  if (!isError) return { message: `Uncaught ${inspect(thrown)}` };
  const error = thrown as Error;
  const reason = attempt(() => (error.cause instanceof Error ? ` (cause: ${describeThrown(error.cause)})` : ''));
  const line = attempt(() => lineIn(String(error.stack), String(error.message), url));
  return { message: `${describeThrown(error)}${reason ?? ''}`, ...(line !== undefined && { line }) };
}

/** A getter or a proxy of the program may throw: then the result is undefined. */
function attempt<Result>(run: () => Result): Result | undefined {
  try {
    return run();
  } catch {
    return undefined;
  }
}

/** Returns the line of the innermost frame of the program. */
export function lineIn(stack: string, message: string, url: string): number | undefined {
  // A line of the message may look like a frame. Only Chromium shows it: `Error: message`, then the
  // frames. Elsewhere a frame may contain the same text.
  const start = message === '' ? -1 : stack.indexOf(message);
  const isShown = start >= 0 && /^(?:[^@\n]+: )?$/.test(stack.slice(0, start));
  const frames = isShown ? stack.slice(start + message.length) : stack;
  for (const frame of frames.split('\n')) {
    for (const file of [PROGRAM, url]) {
      const at = frame.lastIndexOf(`${file}:`);
      const line = at < 0 ? undefined : /^(\d+)(?::\d+)?/.exec(frame.slice(at + file.length + 1))?.[1];
      if (line !== undefined) return Number(line);
    }
  }
  return undefined;
}

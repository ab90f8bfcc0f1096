/** The exit codes of the command line. */
export const EXIT = { done: 0, failed: 1, usage: 2 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** A command cannot do what it was asked for. */
export class CommandError extends Error {
  override readonly name = 'CommandError';

  constructor(
    message: string,
    readonly exitCode: ExitCode = EXIT.failed,
  ) {
    super(message);
  }
}

/** The command was told to end, by Ctrl-C for instance, before it was done. */
export class Interrupted extends CommandError {
  constructor(message = 'Interrupted') {
    super(message);
  }
}

/** Runs what goes on until it is interrupted, which is its normal end. */
export async function untilInterrupted(run: () => Promise<void>): Promise<undefined> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
  }
}

/** Creates the error for arguments, flags or variables that are missing or invalid. */
export function usageError(message: string): CommandError {
  return new CommandError(message, EXIT.usage);
}

/** Describes an error in one line, without a password. */
export function oneLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  const lines = text.split('\n').map((line) => line.trim());
  const [first = '', ...rest] = lines.filter((line) => line !== '');
  const joined = rest.length === 0 ? first : `${first} ${rest.join(first.endsWith(':') ? ', or ' : ' ')}`;
  return withoutControls(withoutPasswords(joined));
}

/**
 * Hides the user and the password of each URL: before the last `@`, since a password may hold `/` or
 * `@` that should have been escaped, and in a parameter such as `?password=…`.
 */
export function withoutPasswords(text: string): string {
  return text
    .replaceAll(/([a-z][a-z\d+.-]*:\/\/)\S*@/gi, '$1***@')
    .replaceAll(/\b(pass(?:word)?=)[^\s&"']*/gi, '$1***');
}

/** Characters that control a terminal, start a line or change the direction of the text. */
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Writes characters that could control the terminal as escapes. */
export function withoutControls(text: string): string {
  return text.replaceAll(UNSAFE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

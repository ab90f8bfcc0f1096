import { CommanderError } from '@commander-js/extra-typings';
import { createProgram, usageErrorOf } from './command-line.js';
import { CommandError, EXIT, type ExitCode, oneLine } from './failures.js';
import { Queues } from './open-queue.js';
import { ownVersion } from './package-version.js';
import type { Body, Program } from './program.js';
import { Shell } from './shell.js';

let exitCode: ExitCode = EXIT.done;

async function runCommand(program: Program, body: Body): Promise<void> {
  const shell = new Shell(program.opts(), process);
  const queues = new Queues(shell);
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      // The second signal is for a command that does not end.
      if (shell.signal.aborted) process.exit(EXIT.failed);
      shell.stop();
    });
  }
  try {
    exitCode = (await body(shell, queues)) ?? EXIT.done;
    shell.throwIfFailed();
  } catch (error) {
    if (!shell.isUnread) throw error;
  } finally {
    await queues.close();
  }
}

/** Writes an error in one line. */
function report(error: unknown): void {
  exitCode = error instanceof CommandError ? error.exitCode : EXIT.failed;
  process.stderr.write(`error: ${oneLine(error)}\n`);
}

process.on('uncaughtException', (error) => {
  report(error);
  process.exit(exitCode);
});

const program = createProgram(ownVersion(), (text) => process.stdout.write(text), runCommand);
try {
  await program.parseAsync();
} catch (error) {
  const failure = error instanceof CommanderError ? usageErrorOf(error) : error;
  if (failure !== undefined) report(failure);
}
// What is written must leave first: a pipe may be slow.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)));

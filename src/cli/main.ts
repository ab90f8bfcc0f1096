import { CommanderError } from '@commander-js/extra-typings';
import { createProgram, usageErrorOf } from './command-line.js';
import { CommandError, EXIT, type ExitCode, oneLine } from './failures.js';
import { Queues } from './open-queue.js';
import { ownVersion } from './package-version.js';
import type { Body, Program } from './program.js';
import { Shell } from './shell.js';

/** Within how many milliseconds a signal is the same one again. */
const REPEATED = 1000;

let exitCode: ExitCode = EXIT.done;

async function runCommand(program: Program, body: Body): Promise<void> {
  const shell = new Shell(program.opts(), process);
  const queues = new Queues(shell);
  let stoppedAt = Number.NEGATIVE_INFINITY;
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => {
      const now = performance.now();
      // A later signal is for a command that does not end. `npx` and `timeout` repeat the first one.
      if (now - stoppedAt > REPEATED && shell.signal.aborted) process.exit(EXIT.failed);
      if (!shell.signal.aborted) stoppedAt = now;
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

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') exitCode = EXIT.failed;
});
process.removeAllListeners('warning').on('warning', ({ message }) => {
  process.stderr.write(`warning: ${oneLine(message)}\n`);
});
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

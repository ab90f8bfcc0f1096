import { Command } from '@commander-js/extra-typings';
import type { ExitCode } from './failures.js';
import type { Queues } from './open-queue.js';
import { names } from './options.js';
import type { Shell } from './shell.js';

/** What a command does. Resolves to its exit code, by default 0. */
export type Body = (shell: Shell, queues: Queues) => Promise<ExitCode | undefined>;

/** Runs a command in the shell of this process. */
export type Run = (body: Body) => Promise<void>;

export type Program = ReturnType<typeof emptyProgram>;

/** Returns a program with the flags of every command, and without a command. */
export function emptyProgram(version: string) {
  return new Command('sluice')
    .description('Shows and repairs a message queue of Sluice, on every engine.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .option('--backend <name>', 'the backend (default: QUEUE_BACKEND)')
    .option('--url <url>', "the URL of the engine's server (default: its variable, such as REDIS_URL)")
    .option('--name <queue>', 'the name of the queue (default: QUEUE_NAME, or "default")')
    .option('--groups <list>', 'the groups of the queue, separated by commas (default: QUEUE_GROUPS)', names)
    .option('--json', 'write JSON, one value a line (default: if stdout is no terminal)');
}

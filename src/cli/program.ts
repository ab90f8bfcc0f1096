import { Command, type CommanderError } from '@commander-js/extra-typings';
import { addBench } from './commands/bench.js';
import { addConsume } from './commands/consume.js';
import { addDeleteGroup } from './commands/delete-group.js';
import { addDoctor } from './commands/doctor.js';
import { addGroups } from './commands/groups.js';
import { addPeek } from './commands/peek.js';
import { addPublish } from './commands/publish.js';
import { addPurge } from './commands/purge.js';
import { addReplay } from './commands/replay.js';
import { addStats } from './commands/stats.js';
import { type ExitCode, oneLine, usageError } from './failures.js';
import type { Queues } from './open-queue.js';
import { names } from './options.js';
import type { Shell } from './shell.js';

/** What a command does. Resolves to its exit code, by default 0. */
export type Body = (shell: Shell, queues: Queues) => Promise<ExitCode | undefined>;

/** Runs a command in the shell of this process. */
export type Run = (body: Body) => Promise<void>;

export type Program = ReturnType<typeof emptyProgram>;

const VARIABLES = `
Variables, as for the services that use the queue:
  QUEUE_BACKEND, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE, QUEUE_PUBLISH_TIMEOUT, QUEUE_DEDUPE_WINDOW,
  and those of the engine, such as REDIS_URL

Exit codes: 0 done, 1 failed, 2 wrong usage`;

function emptyProgram(version: string) {
  return new Command('sluice')
    .description('Looks after a message queue of Sluice, on every engine.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .option('--backend <name>', 'the backend (default: QUEUE_BACKEND)')
    .option('--url <url>', "the URL of the engine's server (default: its variable, such as REDIS_URL)")
    .option('--name <queue>', 'the name of the queue (default: QUEUE_NAME, or "default")')
    .option('--groups <list>', 'the groups of the queue, separated by commas (default: QUEUE_GROUPS)', names)
    .option('--json', 'write JSON, one value a line (default: if stdout is no terminal)');
}

/**
 * Creates the command line.
 *
 * @param write gets the help
 * @param run runs the body of a command
 */
export function createProgram(
  version: string,
  write: (text: string) => void,
  run: (program: Program, body: Body) => Promise<void>,
): Program {
  const program = emptyProgram(version)
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', VARIABLES)
    .configureOutput({ writeOut: write, writeErr: () => {}, outputError: () => {} })
    .exitOverride();
  const runHere: Run = (body) => run(program, body);
  for (const add of [
    addPublish,
    addConsume,
    addPeek,
    addStats,
    addReplay,
    addPurge,
    addGroups,
    addDeleteGroup,
    addDoctor,
    addBench,
  ])
    add(program, runHere);
  return program;
}

/** Explains an error of the parser. Undefined: it has printed what was asked for, such as the help. */
export function usageErrorOf(error: CommanderError): Error | undefined {
  if (error.exitCode === 0) return undefined;
  if (error.code === 'commander.help') return usageError('Expected a command. sluice --help lists them');
  return usageError(oneLine(error).replace(/^error: /, ''));
}

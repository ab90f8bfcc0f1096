import type { CommanderError } from '@commander-js/extra-typings';
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
import { oneLine, usageError } from './failures.js';
import { type Body, emptyProgram, type Program, type Run } from './program.js';

const VARIABLES = `
Variables, as for the services that use the queue:
  QUEUE_BACKEND, QUEUE_NAME, QUEUE_GROUPS, QUEUE_LEASE, QUEUE_PUBLISH_TIMEOUT, QUEUE_DEDUPE_WINDOW,
  QUEUE_CREATE, and those of the engine, such as REDIS_URL

Exit codes: 0 done, 1 failed, 2 wrong usage`;

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

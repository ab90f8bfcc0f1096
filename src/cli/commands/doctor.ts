import type { GroupInfo, QueueFinding } from 'sluice';
import { CommandError, EXIT } from '../failures.js';
import { clockFindings, groupFindings, missingGroup, unreadable } from '../findings.js';
import type { AnyQueue, Queues } from '../open-queue.js';
import { ownVersion, versionOf } from '../package-version.js';
import type { Program, Run } from '../program.js';
import { wrapped } from '../table.js';
import { counted } from '../text.js';

const DEFAULT_COLUMNS = 80;
const INDENT = 2;

export function addDoctor(program: Program, run: Run): void {
  program
    .command('doctor')
    .summary('find what is wrong with the queue and its server')
    .description(
      'Finds what is wrong with the queue and its server, and prints the command that fixes it. Changes nothing. The exit code is 1 if there is a problem. The commands name no server: add its address and user.',
    )
    .action(() =>
      run(async (shell, queues) => {
        const { queue, name, groups, missing, refusal } = await look(queues);
        if (queue.diagnose === undefined)
          throw new CommandError(`The backend of queue ${JSON.stringify(name)} cannot be examined`);
        const diagnosis = await queues.call(queue, queue.diagnose()).catch((error: unknown) => {
          throw refusal ?? error;
        });
        const findings = [
          ...(refusal === undefined ? [] : [unreadable(refusal)]),
          ...missing.map((group) => missingGroup(name, group)),
          ...diagnosis.findings,
          ...clockFindings(diagnosis),
          ...groups.flatMap((group) => groupFindings(name, group, groups.length === 1)),
        ];
        const clients = Object.fromEntries(diagnosis.clients.map((client) => [client, versionOf(client)]));
        const { server, clockDifference } = diagnosis;
        const versions = { sluice: ownVersion(), node: process.versions.node };
        await shell.result({ queue: name, server, clients, clockDifference, ...versions, findings }, () => [
          `queue ${name} on ${server}`,
          `sluice ${versions.sluice}, Node.js ${versions.node}${Object.entries(clients)
            .map(([name, version]) => `, ${name} ${version}`)
            .join('')}`,
          ...findings.flatMap((finding) => linesOf(finding, (shell.stdout.columns ?? DEFAULT_COLUMNS) - INDENT)),
          '',
          summaryOf(findings),
        ]);
        return findings.some(({ severity }) => severity === 'problem') ? EXIT.failed : EXIT.done;
      }),
    );
}

interface Looked {
  readonly queue: AnyQueue;
  readonly name: string;
  readonly groups: readonly GroupInfo[];
  readonly missing: readonly string[];
  /** Why the groups cannot be read. */
  readonly refusal?: Error | undefined;
}

/** Finds the queue and its groups. If the user may not read the groups, finds the queue alone. */
async function look(queues: Queues): Promise<Looked> {
  const { BackendUnavailableError } = await import('sluice');
  try {
    const { queue, name, groups = [], missing } = await queues.find();
    return { queue, name, groups, missing };
  } catch (refusal) {
    if (!BackendUnavailableError.is(refusal) || refusal.retryable) throw refusal;
    const queue = await queues.load({ create: false });
    return { queue, name: queue.name, groups: [], missing: [], refusal };
  }
}

/** @param width of the message, in columns of the terminal */
function linesOf({ code, severity, message, command }: QueueFinding, width: number): string[] {
  const lines = ['', `${severity}  ${code}`, ...wrapped(message, width).map((line) => `${' '.repeat(INDENT)}${line}`)];
  return command === undefined ? lines : [...lines, `${' '.repeat(INDENT)}$ ${command}`];
}

function summaryOf(findings: readonly QueueFinding[]): string {
  const problems = findings.filter(({ severity }) => severity === 'problem').length;
  const notes = findings.length - problems;
  return `${counted(problems, 'problem')}, ${counted(notes, 'note')}`;
}

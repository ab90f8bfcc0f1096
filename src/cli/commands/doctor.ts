import type { GroupInfo, QueueDiagnosis, QueueFinding } from 'sluice';
import { CommandError, EXIT, oneLine } from '../failures.js';
import type { AnyQueue, Queues } from '../open-queue.js';
import { ownVersion, versionOf } from '../package-version.js';
import type { Program, Run } from '../program.js';
import { wrapped } from '../table.js';
import { ago, counted } from '../text.js';

const DEFAULT_COLUMNS = 80;
const INDENT = 2;

/** The largest clock difference that is no problem, in milliseconds. */
const MOST_DIFFERENCE = 1000;

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

function unreadable(refusal: Error): QueueFinding {
  return { code: 'groups-unreadable', severity: 'problem', message: `The groups cannot be read: ${oneLine(refusal)}` };
}

function missingGroup(queue: string, group: string): QueueFinding {
  return {
    code: 'group-missing',
    severity: 'problem',
    message: `Queue ${JSON.stringify(queue)} has no group ${JSON.stringify(group)}, which --groups or QUEUE_GROUPS names. A service that declares it creates it.`,
  };
}

function clockFindings({ clockDifference }: QueueDiagnosis): QueueFinding[] {
  if (clockDifference === undefined || Math.abs(clockDifference) <= MOST_DIFFERENCE) return [];
  const direction = clockDifference > 0 ? 'ahead of' : 'behind';
  return [
    {
      code: 'clock-difference',
      severity: 'problem',
      message: `The clock of the server is ${ago(Math.abs(clockDifference))} ${direction} the clock of this machine. Times of messages are wrong by that much.`,
      command: 'timedatectl set-ntp true',
    },
  ];
}

/** @param isOnly the only group of a queue cannot be deleted, nor one that is declared */
function groupFindings(
  queue: string,
  { name, unfinished, consumers, declared }: GroupInfo,
  isOnly: boolean,
): QueueFinding[] {
  if (consumers !== 0) return [];
  const code = 'group-without-consumer';
  const group = `Group ${JSON.stringify(name)} has no consumer`;
  const where = `--name ${quoted(queue)} --yes`;
  const [advice, command] =
    isOnly || declared
      ? ['or remove its messages', `sluice purge --group ${quoted(name)} ${where}`]
      : ['or delete it', `sluice delete-group ${quoted(name)} ${where}`];
  if (unfinished === 0) {
    const message = `${group}. It will retain every message that is published.`;
    return [{ code, severity: 'note', message, ...(!isOnly && !declared && { command }) }];
  }
  const message = `${group} and retains ${counted(unfinished, 'message')}, and every message that is published. Start its consumers, ${advice}.`;
  return [{ code, severity: 'problem', message, command }];
}

/** Quotes a word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w.:/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
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

import pc from 'picocolors';
import type { GroupInfo, QueueDiagnosis, QueueFinding } from 'sluice';
import { CommandError, EXIT, withoutControls } from '../failures.js';
import { versionOf } from '../package-version.js';
import type { Program, Run } from '../program.js';
import { ago, counted } from '../text.js';

/** The largest clock difference that is no problem, in milliseconds. */
const MOST_DIFFERENCE = 1000;

export function addDoctor(program: Program, run: Run): void {
  program
    .command('doctor')
    .summary('find what is wrong with the queue and its server')
    .description(
      'Finds what is wrong with the queue and its server, and prints the command that mends it. Changes nothing. The exit code is 1 if there is a problem.',
    )
    .action(() =>
      run(async (shell, queues) => {
        const found = await queues.find();
        const { queue, groups = [] } = found;
        if (queue.diagnose === undefined)
          throw new CommandError(`The backend of queue ${JSON.stringify(queue.name)} cannot be examined`);
        const diagnosis = await queues.call(queue, queue.diagnose());
        const findings = [
          ...found.missing.map((group) => missingGroup(found.name, group)),
          ...diagnosis.findings,
          ...clockFindings(diagnosis),
          ...groups.flatMap((group) => groupFindings(found.name, group)),
        ];
        const clients = Object.fromEntries(diagnosis.clients.map((client) => [client, versionOf(client)]));
        const { server, clockDifference } = diagnosis;
        const versions = { sluice: versionOf('sluice'), node: process.versions.node };
        await shell.result({ queue: queue.name, server, clients, clockDifference, ...versions, findings }, () => [
          withoutControls(`queue ${queue.name} on ${server}`),
          `sluice ${versions.sluice}, Node.js ${versions.node}${Object.entries(clients)
            .map(([name, version]) => `, ${name} ${version}`)
            .join('')}`,
          ...findings.flatMap(linesOf),
          summaryOf(findings),
        ]);
        return findings.some(({ severity }) => severity === 'problem') ? EXIT.failed : EXIT.done;
      }),
    );
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

function groupFindings(queue: string, { name, unfinished, consumers, declared }: GroupInfo): QueueFinding[] {
  if (consumers !== 0) return [];
  const group = `Group ${JSON.stringify(name)} has no consumer`;
  const command = `sluice delete-group ${quoted(name)} --name ${quoted(queue)} --yes`;
  const advice = declared ? 'Start its consumers' : 'Start its consumers, or delete it';
  if (unfinished === 0) {
    const message = `${group}. It will retain every message that is published. ${advice}.`;
    return [{ code: 'group-without-consumer', severity: 'note', message, command }];
  }
  const message = `${group} and retains ${counted(unfinished, 'message')}, and every message that is published. ${advice}.`;
  return [{ code: 'group-without-consumer', severity: 'problem', message, command }];
}

/** Quotes a word for a POSIX shell. */
function quoted(word: string): string {
  return /^[\w.:/@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function linesOf({ code, severity, message, command }: QueueFinding): string[] {
  const title = severity === 'problem' ? pc.red('problem') : pc.yellow('note');
  const lines = ['', `${title}  ${code}`, `  ${withoutControls(message)}`];
  return command === undefined ? lines : [...lines, `  $ ${withoutControls(command)}`];
}

function summaryOf(findings: readonly QueueFinding[]): string {
  const problems = findings.filter(({ severity }) => severity === 'problem').length;
  const notes = findings.length - problems;
  return `\n${counted(problems, 'problem')}, ${counted(notes, 'note')}`;
}

import type { GroupInfo, QueueDiagnosis, QueueFinding } from 'sluice';
import { oneLine } from './failures.js';
import { ago, counted } from './text.js';

/** The largest clock difference that is no problem, in milliseconds. */
const MOST_DIFFERENCE = 1000;

/** The user may not read the groups. */
export function unreadable(refusal: Error): QueueFinding {
  return { code: 'groups-unreadable', severity: 'problem', message: `The groups cannot be read: ${oneLine(refusal)}` };
}

/** A declared group does not exist. */
export function missingGroup(queue: string, group: string): QueueFinding {
  return {
    code: 'group-missing',
    severity: 'problem',
    message: `Queue ${JSON.stringify(queue)} has no group ${JSON.stringify(group)}, which --groups or QUEUE_GROUPS names. A service that declares it creates it.`,
  };
}

export function clockFindings({ clockDifference }: QueueDiagnosis): QueueFinding[] {
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

/**
 * Judges a group without a consumer.
 * @param isOnly the only group of a queue cannot be deleted, nor one that is declared
 */
export function groupFindings(
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

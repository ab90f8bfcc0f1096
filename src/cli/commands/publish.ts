import type { PublishOptions } from 'sluice';
import { CommandError, Interrupted, oneLine, usageError } from '../failures.js';
import { linesOf } from '../lines.js';
import type { AnyQueue, Queues } from '../open-queue.js';
import { duration, header } from '../options.js';
import type { Program, Run } from '../program.js';
import { Progress } from '../progress.js';
import type { Shell } from '../shell.js';
import { counted } from '../text.js';

/** How many messages are published at once, so that any number of lines needs the same memory. */
const WINDOW = 1000;

const EXAMPLES = `
Examples:
  sluice publish orders.created '{"order":7}'
  sluice publish - < messages.jsonl

A line of stdin is {"key": …, "payload": {…}}, and may have "headers", "delay" in milliseconds, "id"
and "group" (default: --group). Lines of consume, peek and replay --dry-run are accepted as they are,
but become new messages: their "id" is ignored.`;

/** The fields of a line that `publish` reads, and those that other commands write. */
const FIELDS = new Set(['key', 'payload', 'headers', 'delay', 'id', 'group']);
const IGNORED = new Set(['queue', 'attempt', 'publishedAt', 'due', 'to']);

interface Defaults {
  readonly key: string | undefined;
  readonly group: string | undefined;
}

interface Message {
  readonly key: string;
  readonly payload: object;
  readonly options: PublishOptions;
}

export function addPublish(program: Program, run: Run): void {
  program
    .command('publish')
    .summary('publish a message, or one for each line of stdin')
    .description('Publishes a message, or one for each line of stdin, and prints how many were confirmed.')
    .argument('<key>', 'the key of the message, or - to read lines from stdin')
    .argument('[json]', 'the payload, or - to read lines from stdin. Default: {}')
    .option('--header <name=value>', 'a header of the message; may be repeated', header)
    .option('--delay <duration>', 'deliver the message later, such as 90s', duration)
    .option('--id <id>', 'the id of the message, for deduplication')
    .option('--group <group>', 'the only group that gets the message')
    .addHelpText('after', EXAMPLES)
    .action((key, json, { header: headers, delay, id, group }) =>
      run(async (shell, queues) => {
        const options = { headers, delay, id };
        const isStream = key === '-' || json === '-';
        if (isStream && Object.values(options).some((value) => value !== undefined))
          throw usageError('Expected no --header, --delay or --id with -: each line has its own');
        if (isStream && key === '-' && json !== undefined) throw usageError('Expected no payload after -');
        const message = isStream
          ? undefined
          : { key, payload: payloadOf(json ?? '{}'), options: { ...options, group } };
        const queue = await queues.openToPublish(group);
        shell.flushLogs();
        if (message === undefined) await publishLines(shell, queue, { key: key === '-' ? undefined : key, group });
        else await publishOne(shell, queues, queue, message);
        return undefined;
      }),
    );
}

/** @throws {CommandError} if the text is no JSON object */
function payloadOf(json: string): object {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw usageError(`Expected the payload to be JSON, such as '{"order":7}': ${oneLine(error)}`);
  }
  // The queue checks the rest.
  return value as object;
}

async function publishOne(shell: Shell, queues: Queues, queue: AnyQueue, message: Message): Promise<void> {
  const { key, payload, options } = message;
  const { InvalidMessageError } = await import('sluice');
  try {
    await queues.call(queue, queue.publish(key, payload, { ...options, signal: shell.signal }));
  } catch (error) {
    // The queue has checked the arguments.
    const isInvalid = InvalidMessageError.is(error) || error instanceof TypeError || error instanceof RangeError;
    throw isInvalid ? usageError(oneLine(error)) : error;
  }
  await confirmed(shell, 1);
}

function confirmed(shell: Shell, count: number): Promise<boolean> {
  return shell.result({ confirmed: count }, () => [`${counted(count, 'message')} confirmed`]);
}

/**
 * Publishes a message for each line, in order and `WINDOW` at a time.
 *
 * @param defaults the key and the group of lines without one
 * @throws {CommandError} (a rejection) for the first line that fails. It tells what was confirmed.
 */
async function publishLines(shell: Shell, queue: AnyQueue, defaults: Defaults): Promise<void> {
  const progress = new Progress(shell);
  let sum = 0;
  let after = 0;
  let waiting = 0;
  let wake = () => {};
  let failure: { readonly number: number; readonly error: unknown } | undefined;
  const fail = (number: number, error: unknown) => {
    if (failure === undefined || number < failure.number) failure = { number, error };
  };
  const publish = async ({ key, payload, options }: Message, number: number) => {
    waiting++;
    try {
      await queue.publish(key, payload, options);
      if (sum++ === 0) shell.showLogs();
      if (failure !== undefined && number > failure.number) after++;
      progress.show(() => `${counted(sum, 'message')} confirmed`);
    } catch (error) {
      fail(number, error);
    }
    waiting--;
    wake();
  };
  const below = async (limit: number) => {
    while (waiting >= limit) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  let number = 0;
  try {
    for await (const line of linesOf(shell.stdin, shell.signal)) {
      number++;
      if (line.trim() === '') continue;
      try {
        void publish(messageOf(line, defaults), number);
      } catch (error) {
        fail(number, error);
      }
      await below(WINDOW);
      if (failure !== undefined) break;
    }
  } catch (error) {
    fail(number + 1, error);
  }
  await below(1);
  progress.end();
  await confirmed(shell, sum);
  if (failure !== undefined) {
    const { number: line, error } = failure;
    const rest = after === 0 ? '' : `, and ${after} after it`;
    throw new CommandError(
      `line ${line}: ${oneLine(error)} (${counted(sum - after, 'message')} before it confirmed${rest})`,
    );
  }
  if (shell.signal.aborted)
    throw new Interrupted(`Interrupted after line ${number}: ${counted(sum, 'message')} confirmed`);
}

/** @throws {Error} if the line is no message */
function messageOf(line: string, defaults: Defaults): Message {
  const value: unknown = JSON.parse(line);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new Error('Expected an object with "key" and "payload"');
  const fields = value as Readonly<Record<string, unknown>>;
  const unknown = Object.keys(fields).find((name) => !FIELDS.has(name) && !IGNORED.has(name));
  if (unknown !== undefined)
    throw new Error(`Expected the fields ${[...FIELDS].join(', ')}, got ${JSON.stringify(unknown)}`);
  const { key = defaults.key, payload, headers, delay, group = defaults.group } = fields;
  // A line that a command has shown has the id of the message there. As the id of a new one, it would
  // be dropped as a duplicate, for instance when removed messages are published again.
  const id = fields.publishedAt === undefined ? fields.id : undefined;
  for (const [name, field] of Object.entries({ key, payload }))
    if (field === undefined) throw new Error(`Expected the field "${name}", but it is missing`);
  return { key, payload, options: { headers, delay, id, group } } as Message;
}

import type { MessageView } from 'sluice';
import { CommandError, EXIT, oneLine } from '../failures.js';
import { wholeNumber } from '../options.js';
import type { Program, Run } from '../program.js';
import { GAP, tableLines } from '../table.js';
import { timeOf } from '../text.js';
import { jsonOf } from '../views.js';

const DEFAULT_LIMIT = 20;

export function addPeek(program: Program, run: Run): void {
  program
    .command('peek')
    .summary('show waiting messages without taking them')
    .description('Shows the waiting messages of a group, the oldest first, without taking them. Not on RabbitMQ.')
    .option('--group <group>', 'the group whose messages to show (default: "default", or the only one)')
    .option('--limit <n>', 'show at most n messages', wholeNumber, DEFAULT_LIMIT)
    .action(({ group: given, limit }) =>
      run(async (shell, queues) => {
        const found = await queues.find();
        const group = found.groupFor(given);
        const queue = await found.serve([group]);
        if (queue.peek === undefined) throw new CommandError('This backend cannot show waiting messages');
        const { UnsupportedOperationError } = await import('sluice');
        const views = await queues.call(queue, queue.peek({ group, limit })).catch((error: unknown) => {
          if (!UnsupportedOperationError.is(error)) throw error;
          throw new CommandError(`${oneLine(error)}. Or run: sluice consume --limit ${limit} --wait 2s`, EXIT.failed);
        });
        if (shell.json) {
          for (const view of views) if (!(await shell.writeJson(jsonOf(view)))) break;
          return undefined;
        }
        await shell.writeLines(views.length === 0 ? ['No message waits.'] : viewLines(views, shell.stdout.columns));
        return undefined;
      }),
    );
}

/** The narrowest payload in the table, in columns of the terminal. */
const LEAST_PAYLOAD = 10;

const TITLES = ['published', 'key', 'payload', 'attempt', 'state', 'id'];

/** Returns the lines of a table. The payloads take the columns that the rest leaves. */
function viewLines(views: readonly MessageView[], columns = Number.POSITIVE_INFINITY): string[] {
  const rows = views.map(({ id, key, payload, attempt, publishedAt, due }) => [
    timeOf(publishedAt),
    key,
    JSON.stringify(payload),
    String(attempt),
    due === undefined ? 'ready' : `due ${timeOf(due)}`,
    id,
  ]);
  const widths = TITLES.map((title, index) => Math.max(title.length, ...rows.map((row) => row[index]?.length ?? 0)));
  const payload = TITLES.indexOf('payload');
  const others = widths.reduce((sum, width, index) => (index === payload ? sum : sum + width + GAP), 0);
  const free = Math.max(LEAST_PAYLOAD, columns - others);
  return tableLines(
    TITLES.map((title, index) => ({
      title,
      isNumber: title === 'attempt',
      width: index === payload && (widths[payload] ?? 0) > free ? free : undefined,
    })),
    rows,
  );
}

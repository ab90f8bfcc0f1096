import { CommandError, EXIT, oneLine } from '../failures.js';
import { wholeNumber } from '../options.js';
import type { Program, Run } from '../program.js';
import { tableLines } from '../table.js';
import { timeOf } from '../text.js';
import { jsonOf } from '../views.js';

const DEFAULT_LIMIT = 20;

export function addPeek(program: Program, run: Run): void {
  program
    .command('peek')
    .summary('show waiting messages without taking them')
    .description('Shows the waiting messages of a group, the oldest first, without taking them. Not on RabbitMQ.')
    .option('--group <group>', 'the group whose messages to show (default: "default", or the only one)')
    .option('--limit <n>', 'show at most so many messages', wholeNumber, DEFAULT_LIMIT)
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
        const rows = views.map(({ id, key, payload, attempt, publishedAt, due }) => [
          timeOf(publishedAt),
          key,
          JSON.stringify(payload),
          String(attempt),
          due === undefined ? 'ready' : `due ${timeOf(due)}`,
          id,
        ]);
        const columns = ['published', 'key', 'payload', 'attempt', 'state', 'id'].map((title) => ({
          title,
          isNumber: title === 'attempt',
          ...(title === 'payload' && { width: PAYLOAD_WIDTH }),
        }));
        await shell.writeLines(rows.length === 0 ? ['No message waits.'] : tableLines(columns, rows));
        return undefined;
      }),
    );
}

/** How much of a payload the table shows, in columns. */
const PAYLOAD_WIDTH = 40;

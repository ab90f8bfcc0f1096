import { CommandError } from '../failures.js';
import { groupLines } from '../group-table.js';
import type { Program, Run } from '../program.js';

export function addGroups(program: Program, run: Run): void {
  program
    .command('groups')
    .summary('list the groups of the queue')
    .description(
      'Lists the groups of the queue with their messages and consumers. RabbitMQ lists those of --groups or QUEUE_GROUPS, and "default".',
    )
    .action(() =>
      run(async (shell, queues) => {
        const { groups, queue } = await queues.find();
        if (groups === undefined)
          throw new CommandError(`The backend of queue ${JSON.stringify(queue.name)} cannot list groups`);
        if (!shell.json) await shell.writeLines(groups.length === 0 ? ['The queue has no group.'] : groupLines(groups));
        else for (const group of groups) if (!(await shell.writeJson(group))) break;
        return undefined;
      }),
    );
}

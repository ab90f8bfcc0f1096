import { CommandError, usageError } from '../failures.js';
import type { Program, Run } from '../program.js';

export function addDeleteGroup(program: Program, run: Run): void {
  program
    .command('delete-group')
    .summary('delete a group with its messages')
    .description(
      'Deletes a group of the queue with its messages. Not one that --groups or QUEUE_GROUPS declares: its services would create it again.',
    )
    .argument('<group>', 'the group to delete')
    .option('--yes', 'really delete it')
    .action((group, { yes }) =>
      run(async (shell, queues) => {
        if (!yes)
          throw usageError(`Expected --yes: delete-group deletes group ${JSON.stringify(group)} with its messages`);
        const found = await queues.find();
        if (found.isDeclared(group))
          throw usageError(
            `Group ${JSON.stringify(group)} is declared by --groups or QUEUE_GROUPS, and a service that declares it would create it again. ` +
              'Remove it from them first',
          );
        const others = found.groupNames.filter((name) => name !== group);
        if (group === 'default' && others.length === 0)
          throw new CommandError(
            `Group "default" is the only group of queue ${JSON.stringify(found.name)}, and stays. sluice purge --yes removes its messages`,
          );
        // Without groups, a backend declares "default", which it then would not delete.
        const queue = group === 'default' ? await found.serve(others) : found.queue;
        if (queue.deleteGroup === undefined) throw new CommandError('This backend cannot delete groups');
        const existed = await queues.call(queue, queue.deleteGroup(group));
        if (!existed)
          throw new CommandError(`Queue ${JSON.stringify(found.name)} has no group ${JSON.stringify(group)}`);
        await shell.result({ deleted: group }, () => [`Group ${JSON.stringify(group)} deleted`]);
        return undefined;
      }),
    );
}

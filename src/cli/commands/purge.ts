import { CommandError, usageError } from '../failures.js';
import type { Program, Run } from '../program.js';
import { counted } from '../text.js';

export function addPurge(program: Program, run: Run): void {
  program
    .command('purge')
    .summary('remove waiting and delayed messages')
    .description('Removes the waiting and delayed messages of a group, or of all groups, but none in flight.')
    .option('--group <group>', 'the group whose messages to remove (default: every group)')
    .option('--yes', 'really remove them')
    .action(({ group, yes }) =>
      run(async (shell, queues) => {
        if (!yes) throw usageError('Expected --yes: purge removes messages for good');
        const found = await queues.find();
        const queue = await found.serve(group === undefined ? found.groupNames : [group]);
        if (queue.purge === undefined) throw new CommandError('This backend cannot remove messages');
        const removed = await queues.call(queue, queue.purge({ group }));
        await shell.result({ removed }, () => [`${counted(removed, 'message')} removed`]);
        return undefined;
      }),
    );
}

import type { ManagedQueue } from 'sluice';
import { eventually } from '../support/eventually.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('A deadlock on PostgreSQL', () => {
  const suite = new PostgresSuite();

  /** What an application has, and wants while a change waits for it. */
  const locks = {
    id: "SELECT FROM sluice.ids WHERE id = 'x' FOR UPDATE",
    message: 'SELECT FROM sluice.messages FOR UPDATE',
    queue: 'SELECT FROM sluice.queues FOR UPDATE',
    groups: 'SELECT FROM sluice.groups FOR UPDATE',
  };

  const isWaiting = async () =>
    (await suite.run("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'")).length > 0;

  /** Runs a change that deadlocks with a transaction. Resolves to whether the change was undone. */
  async function clash(change: () => Promise<unknown>, had: string, wanted: string): Promise<boolean> {
    const transaction = await suite.begin();
    await transaction.query(had);
    const changed = change();
    await eventually(isWaiting);
    // The server checks who has waited longest first. On a slow machine, that may be too early.
    const isUndone = await transaction.query(wanted).then(
      () => true,
      () => false,
    );
    await transaction.query('ROLLBACK');
    await changed;
    return isUndone;
  }

  it.each<[what: string, change: (queue: ManagedQueue) => Promise<unknown>, had: string, wanted: string]>([
    ['purge()', (queue) => queue.purge(), locks.queue, locks.groups],
    ['deleteGroup()', (queue) => queue.deleteGroup('old'), locks.message, locks.groups],
    ['deleteQueue()', (queue) => queue.deleteQueue?.() ?? Promise.reject(), locks.id, locks.queue],
  ])('does not fail %s', async (_what, change, had, wanted) => {
    let isUndone = false;
    while (!isUndone) {
      const queue = suite.open({ groups: ['a'] });
      const old = suite.open({ groups: ['old'] });
      await old.stats();
      await queue.stats();
      await old.publish('key', { n: 1 }, { id: 'x', group: 'old' });
      await old.close();
      isUndone = await clash(() => change(queue), had, wanted);
      const [rows] = await suite.run<{ count: number }>('SELECT count(*)::integer FROM sluice.messages');
      expect(rows).toEqual({ count: 0 });
      await suite.run('TRUNCATE sluice.ids');
    }
  });
});

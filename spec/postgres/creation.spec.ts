import { migrations, PostgresBackend } from 'sluice/postgres';
import { creationCases } from '../support/creation-cases.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('PostgresBackend with `create: false`', () => {
  const suite = new PostgresSuite();

  const within = async (queue: PostgresBackend) => {
    const client = await suite.begin();
    await queue.within(client).publish('key', { n: 1 });
  };

  const ofQueue = 'WHERE queue = (SELECT id FROM sluice.queues WHERE name = $1)';

  beforeAll(async () => {
    for (const sql of migrations()) await suite.run(sql);
  });

  const { open, create, expectRefused } = creationCases({
    suite,
    Backend: PostgresBackend,
    calls: { 'a publish in a transaction': within },
    foreignGroups: true,
    deleteQueue: async () => {
      await suite.run(`DELETE FROM sluice.groups ${ofQueue}`, [suite.name]);
      await suite.run('DELETE FROM sluice.queues WHERE name = $1', [suite.name]);
    },
    deleteGroup: (name) => suite.run(`DELETE FROM sluice.groups ${ofQueue} AND name = $2`, [suite.name, name]),
  });

  it('publishes in a transaction to a queue that exists', async () => {
    await create({ groups: ['a', 'b'] });
    await within(open());
    await within(open({ groups: ['a', 'b'] }));
  });

  it('refuses each call without the tables, and creates no schema', async () => {
    await expectRefused('does not exist', () =>
      suite.open({ create: false, publishTimeout: 60_000, schema: 'missing' }),
    );
    expect(await suite.run("SELECT FROM pg_namespace WHERE nspname = 'missing'")).toEqual([]);
  });
});

describeWithPostgres('PostgresBackend with `create: true`', () => {
  const suite = new PostgresSuite();

  it('creates an undeclared `default` when a message is published for it', async () => {
    await suite.open({ groups: ['billing'] }).publish('key', { n: 1 });
    const queue = suite.open();
    await queue.publish('key', { n: 2 }, { group: 'default' });
    expect((await queue.groups()).map(({ name, unfinished }) => [name, unfinished])).toEqual([
      ['billing', 1],
      ['default', 2],
    ]);
  });
});

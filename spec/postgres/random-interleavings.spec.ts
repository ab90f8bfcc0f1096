import { GROUPS, holds, type Stage } from '../support/interleavings.js';
import { PostgresSuite } from '../support/postgres-suite.js';
import { describeWithPostgres } from '../support/servers/describe-with.js';

describeWithPostgres('Random interleavings of calls on two backends and two groups', () => {
  const suite = new PostgresSuite();

  const stage: Stage = {
    suite,
    open: () => suite.open({ groups: GROUPS }),
    cut: () => suite.disconnect(),
    delays: [3, 15],
    waits: [0, 1, 5],
    exactAttempts: true,
    exactOverCuts: true,
    patience: 15_000,
    emptied: async () => expect(await suite.tables()).toEqual({ messages: 0, unplaced: 0, pending: 0 }),
    left: () => suite.tables(),
    closed: async () => {
      expect(await suite.run('SELECT * FROM sluice.consumers')).toEqual([]);
    },
  };

  it(
    'lose, duplicate and reorder no message and keep counts correct',
    () => holds(stage, { cuts: false, numRuns: 70 }),
    120_000,
  );

  it(
    'lose, duplicate and reorder no message and keep counts correct when connections are cut',
    () => holds(stage, { cuts: true, numRuns: 40 }),
    120_000,
  );
});

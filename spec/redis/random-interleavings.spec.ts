import { GROUPS, holds, type Stage } from '../support/interleavings.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('Random interleavings of calls on two backends and two groups', () => {
  const suite = new RedisSuite();

  const stage: Stage = {
    suite,
    open: () => suite.open({ groups: GROUPS }),
    cut: () => suite.disconnect(),
    delays: [3, 15],
    waits: [0, 1, 5],
    exactAttempts: true,
    exactOverCuts: true,
    patience: 15_000,
    emptied: async () => {
      expect(await suite.length()).toBe(0);
      for (const group of GROUPS) expect(await suite.pending(group)).toEqual([]);
    },
    left: () => Promise.all(GROUPS.map((group) => suite.pending(group))),
    closed: async () => {
      expect(await suite.keys()).toEqual(['', 'bell']);
      await suite.run('FLUSHALL');
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

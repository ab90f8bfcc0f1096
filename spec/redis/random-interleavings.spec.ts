import fc from 'fast-check';
import { cutting, GROUPS, type Operation, operation, Run, type Stage } from '../support/interleavings.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('Any interleaving of calls, on two backends and in two groups', () => {
  const suite = new RedisSuite();

  const stage: Stage = {
    open: () => suite.open({ groups: GROUPS }),
    cut: () => suite.disconnect(),
    exactAttempts: true,
    emptied: async () => {
      expect(await suite.length()).toBe(0);
      for (const group of GROUPS) expect(await suite.pending(group)).toEqual([]);
    },
    left: () => Promise.all(GROUPS.map((group) => suite.pending(group))),
  };

  const holds = (operations: fc.Arbitrary<Operation>, numRuns: number) =>
    fc.assert(
      fc.asyncProperty(fc.array(operations, { maxLength: 60, size: 'max' }), async (all) => {
        suite.name = `run ${Math.random()}`;
        const run = new Run(stage);
        for (const each of all) await run.do(each);
        await run.end();
        expect(await suite.keys()).toEqual(['', 'bell']);
        await suite.run('FLUSHALL');
      }),
      { numRuns, endOnFailure: process.env.SHRINK === undefined, interruptAfterTimeLimit: 60_000 },
    );

  it('loses, doubles and swaps nothing, and counts right', () => holds(operation, 70), 120_000);

  it('loses, doubles and swaps nothing, and counts right, though connections are cut', () => holds(cutting, 40), 120_000);
});

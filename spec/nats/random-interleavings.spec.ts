import fc from 'fast-check';
import { eventually } from '../support/eventually.js';
import { cutting, GROUPS, type Operation, operation, Run, type Stage } from '../support/interleavings.js';
import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';

/** What was on its way over a connection that is cut comes again after it. */
const LEASE = 1000;

describeWithNats('Any interleaving of calls, on two backends and in two groups', () => {
  const suite = new NatsSuite();
  let proxy: TcpProxy;

  beforeAll(async () => {
    proxy = await TcpProxy.start(suite.server.port);
  });

  afterAll(() => proxy.stop());

  const stage: Stage = {
    open: () => suite.open({ url: `nats://127.0.0.1:${proxy.port}`, groups: GROUPS, lease: LEASE }),
    cut: () => proxy.cut(),
    exactAttempts: false,
    emptied: async () => {
      await eventually(async () => (await suite.length()) === 0);
      for (const group of GROUPS) expect((await suite.group(group)).num_ack_pending).toBe(0);
      expect(await suite.length(suite.names.delayedStream)).toBe(0);
    },
    left: () => Promise.all(GROUPS.map((group) => suite.group(group))),
  };

  const holds = (operations: fc.Arbitrary<Operation>, numRuns: number) =>
    fc.assert(
      fc.asyncProperty(fc.array(operations, { maxLength: 60, size: 'max' }), async (all) => {
        suite.name = `run ${Math.random()}`;
        const run = new Run(stage);
        for (const each of all) await run.do(each);
        await run.end();
        const manager = await suite.manager();
        for (const name of [suite.names.stream, suite.names.delayedStream]) await manager.streams.delete(name);
      }),
      { numRuns, endOnFailure: process.env.SHRINK === undefined, interruptAfterTimeLimit: 60_000 },
    );

  it('loses, doubles and swaps nothing, and counts right', () => holds(operation, 50), 120_000);

  it('loses, doubles and swaps nothing, and counts right, though connections are cut', () => holds(cutting, 30), 120_000);
});

import { eventually } from '../support/eventually.js';
import { GROUPS, holds, type Stage } from '../support/interleavings.js';
import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';

/** In milliseconds. Messages in transit over a cut connection are redelivered after it. */
const LEASE = 1000;

describeWithNats('Any interleaving of calls, on two NatsBackends and in two groups', () => {
  retryOnce();
  const suite = new NatsSuite();
  let proxy: TcpProxy;
  let url: string;

  beforeEach(async () => {
    ({ proxy, url } = await suite.proxy());
  });

  const stage: Stage = {
    suite,
    open: () => suite.open({ url, groups: GROUPS, lease: LEASE }),
    cut: () => proxy.cut(),
    delays: [3, 15],
    waits: [0, 1, 5],
    exactAttempts: false,
    exactOverCuts: true,
    // Messages in the mover are redelivered 5 s after a cut connection, which may be cut again.
    patience: 30_000,
    emptied: async () => {
      await eventually(async () => (await suite.length()) === 0);
      for (const group of GROUPS) expect((await suite.group(group)).num_ack_pending).toBe(0);
      expect(await suite.length(suite.names.delayedStream)).toBe(0);
    },
    left: () => Promise.all(GROUPS.map((group) => suite.group(group))),
    closed: async () => {
      const manager = await suite.manager();
      for (const name of [suite.names.stream, suite.names.delayedStream]) await manager.streams.delete(name);
    },
  };

  it(
    'loses, duplicates and reorders no message, and counts correctly',
    () => holds(stage, { cuts: false, numRuns: 50 }),
    120_000,
  );

  it(
    'loses, duplicates and reorders no message, and counts correctly, while connections are cut',
    () => holds(stage, { cuts: true, numRuns: 30 }),
    120_000,
  );
});

import fc from 'fast-check';
import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { GROUPS, holds, type Stage } from '../support/interleavings.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';

describeWithRabbitMq('Random interleavings of calls on two backends and two groups', () => {
  retryOnce();
  const suite = new RabbitMqSuite();
  let proxy: TcpProxy;
  let url: string;

  beforeEach(async () => {
    ({ proxy, url } = await suite.proxy());
  });

  const lengths = () => {
    const queues = GROUPS.map((group) => suite.names.group(group)).flatMap(({ queue, again }) => [queue, again]);
    return Promise.all(queues.map((queue) => suite.length(queue)));
  };

  const stage: Stage = {
    suite,
    open: () => suite.open({ url, groups: GROUPS }),
    cut: () => proxy.cut(),
    delays: [3, 40],
    waits: [0, 1, 5, 20],
    exactAttempts: false,
    exactOverCuts: false,
    patience: 100_000,
    emptied: () => eventually(async () => (await lengths()).every((length) => length === 0), lengths),
    left: lengths,
  };

  it(
    'lose, duplicate and reorder no message and keep counts correct',
    () => holds(stage, { cuts: false, numRuns: 25 }),
    120_000,
  );

  it(
    'lose no message and respect the prefetch when connections are cut',
    () => holds(stage, { cuts: true, numRuns: 12 }),
    120_000,
  );

  it('deliver requeued messages before newer ones, in order', async () => {
    const answer = fc.constantFrom('ack' as const, 'nack' as const, 'release' as const, undefined);
    let runs = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5 }),
        fc.array(fc.array(answer, { minLength: 5, maxLength: 5 }), { maxLength: 15 }),
        async (prefetch, rounds) => {
          const queue = suite.open({ name: `${suite.name} ${runs++}` });
          await Promise.all(upTo(40).map((n) => queue.publish('key', { n })));
          const holder = new Holder(queue, { prefetch });
          let rest = upTo(40);
          await eventually(() => holder.held.length === prefetch);
          for (const round of rounds) {
            const seen = holder.deliveries.length;
            const held = holder.held.toSorted((one, other) => numberOf(one.payload) - numberOf(other.payload));
            const kept = held.filter((_, at) => round[at] === undefined).map(({ payload }) => numberOf(payload));
            const done = held.filter((_, at) => round[at] === 'ack').map(({ payload }) => numberOf(payload));
            rest = rest.filter((n) => !done.includes(n));
            const count = Math.min(prefetch, rest.length);
            void Promise.all(held.map((delivery, at) => delivery[round[at] ?? 'valueOf']()));
            await eventually(
              () => holder.held.length === count,
              () => holder.attempts,
            );
            const expected = rest.filter((n) => !kept.includes(n)).slice(0, count - kept.length);
            expect(holder.numbers.slice(seen)).toEqual(expected);
          }
          await queue.close();
        },
      ),
      { numRuns: 15, endOnFailure: true },
    );
  }, 120_000);
});

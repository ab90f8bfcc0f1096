import { recordingLogger } from '../support/recording-logger.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';
import { expectToldOf, GOOD, giveUpAll, statusesOf, UNDELIVERABLE } from '../support/undeliverable.js';

describeWithRedis('A message that no dead letter queue accepts', () => {
  const suite = new RedisSuite();

  it('is quarantined as it was stored and does not block others', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.stats();
    const stored: Record<string, string[]> = {};
    for (const { payload, headers } of [...UNDELIVERABLE, ...UNDELIVERABLE]) {
      const fields = ['key', 'k', 'payload', payload, ...(headers === undefined ? [] : ['headers', headers])];
      stored[String(await suite.run('XADD', suite.name, '*', ...fields))] = fields;
    }
    await queue.publish(GOOD, {});
    const deadLetters = suite.open({ name: `${suite.name}-dead` });
    const { outcomes, logger: told } = await giveUpAll(queue, deadLetters);
    expect(statusesOf(outcomes)).toEqual({ good: ['acked'], others: Object.keys(stored).map(() => 'rejected') });
    expectToldOf(outcomes, told);
    expect(await deadLetters.stats()).toEqual({ ready: 0, unfinished: 0 });
    const rows = (await suite.run('HGETALL', suite.key('aside'))) as string[];
    const kept = rows.flatMap((id, index) =>
      index % 2 === 0 ? [[id, JSON.parse(rows[index + 1] ?? '')] as const] : [],
    );
    expect(Object.fromEntries(kept.map(([id, { fields }]) => [id, fields]))).toEqual(stored);
    for (const [id, { reason }] of kept) {
      expect(reason).toMatch(
        /cannot be dead-lettered \(InvalidMessageError: .*\) after its handler failed \(Error: boom\)/,
      );
      expect(logger.errors.filter((error) => error.includes(id) && error.includes(suite.key('aside')))).toHaveLength(1);
    }
    expect([await suite.length(), await suite.pending()]).toEqual([0, []]);
  });
});

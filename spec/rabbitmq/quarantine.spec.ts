import { randomUUID } from 'node:crypto';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import { expectToldOf, GOOD, giveUpAll, statusesOf, UNDELIVERABLE } from '../support/undeliverable.js';

describeWithRabbitMq('A message that no dead letter queue accepts', () => {
  const suite = new RabbitMqSuite();

  it('is quarantined as it was stored and does not block others', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    await queue.publish(GOOD, {});
    const all = [...UNDELIVERABLE, ...UNDELIVERABLE];
    for (const { payload, headers } of all) {
      const table = { 'sluice-published-at': Date.now(), ...(headers !== undefined && { 'sluice-headers': headers }) };
      const properties = {
        messageId: randomUUID(),
        type: 'k',
        contentType: 'application/json',
        contentEncoding: 'utf-8',
      };
      await suite.add({ routingKey: '', ...properties, headers: table }, Buffer.from(payload));
    }
    await queue.publish(GOOD, {});
    const deadLetters = suite.open({ name: `${suite.name}-dead` });
    await eventually(async () => (await queue.stats()).unfinished === all.length + 2);
    const { outcomes, logger: told } = await giveUpAll(queue, deadLetters);
    expect(statusesOf(outcomes)).toEqual({ good: ['acked', 'acked'], others: all.map(() => 'rejected') });
    expectToldOf(outcomes, told);
    expect(await deadLetters.stats()).toEqual({ ready: 0, unfinished: 0 });
    const kept = await suite.take(suite.names.quarantine);
    const contents = kept.map(
      ({ body, headers }) =>
        `${Buffer.isBuffer(body) ? body : JSON.stringify(body)} ${headers['sluice-headers'] ?? ''}`,
    );
    expect(contents.toSorted()).toEqual(all.map(({ payload, headers = '' }) => `${payload} ${headers}`).toSorted());
    for (const { reason } of kept)
      expect(reason).toMatch(
        /cannot be dead-lettered \(InvalidMessageError: .*\) after its handler failed \(Error: boom\)/,
      );
    expect(
      logger.errors.filter((error) => error.includes('quarantine') && error.includes(suite.names.quarantine)),
    ).toHaveLength(all.length);
  });
});

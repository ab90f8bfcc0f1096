import { RabbitMqBackend } from 'sluice/rabbitmq';
import { Holder } from '../support/consumers.js';
import { creationCases } from '../support/creation-cases.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { namesOn } from '../support/server-names.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

/** Lists the queues and exchanges of the test's queue. */
const onServer = async (suite: RabbitMqSuite) =>
  (await namesOn(suite.server)).filter((name) => name.includes(` ${suite.name}`));

describeWithRabbitMq('RabbitMqBackend with `create: false`', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const { open, create, notFound } = creationCases({
    suite,
    Backend: RabbitMqBackend,
    foreignGroups: false,
    deleteQueue: async () => {
      const channel = await suite.channel();
      for (const listed of await onServer(suite)) {
        const [kind, name = ''] = listed.split(' ');
        await (kind === 'queue' ? channel.queueDelete(name) : channel.exchangeDelete({ exchange: name }));
      }
    },
    deleteGroup: async (name) => (await suite.channel()).queueDelete(suite.names.group(name).queue),
  });

  it('fails a publish to a queue that has no group', async () => {
    await create({ groups: ['a'] });
    await suite.open({ groups: ['b'] }).deleteGroup('a');
    const channel = await suite.channel();
    for (const name of [suite.names.group('b').queue, suite.names.group('b').again]) await channel.queueDelete(name);
    expect(await failureOf(open().publish('key', { n: 1 }))).toMatchObject(notFound('has no group "default"'));
  });
});

describeWithRabbitMq('deleteQueue() on RabbitMQ', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  it('deletes everything of the queue, and nothing of another queue', async () => {
    const other = suite.open({ name: `other-${suite.name}` });
    await other.publish('key', { n: 1 });
    await suite.open().publish('key', { n: 1 });
    const logger = recordingLogger();
    const queue = suite.open({ groups: ['a', 'b'], logger });
    const holder = new Holder(queue, { group: 'a', prefetch: 1 });
    for (const delay of [0, HOUR])
      for (const group of [undefined, 'a']) await queue.publish('key', { n: 2 }, { delay, group });
    await eventually(() => holder.deliveries.length === 1);
    await holder.of(2).nack({ delay: HOUR });
    await eventually(() => holder.deliveries.length === 2);
    await queue.deleteQueue();
    expect([holder.completed, holder.error]).toEqual([true, undefined]);
    expect(await onServer(suite)).toEqual([]);
    expect(logger.warnings.filter((line) => /cancelled|declared again/.test(line))).toEqual([]);
    await expect(queue.stats()).rejects.toMatchObject({ name: 'QueueClosedError' });
    expect(await other.stats()).toEqual({ ready: 1, unfinished: 1 });
    for (const name of [suite.names.exchange, suite.names.quarantine]) {
      // The broker closes the channel with its answer.
      const declared = (await suite.channel()).exchangeDeclare({ exchange: name, passive: true });
      await expect(declared).rejects.toMatchObject({ code: 'NOT_FOUND' });
    }
  });

  it('does nothing if the queue does not exist', async () => {
    for (const create of [true, false]) await suite.open({ create }).deleteQueue();
    expect(await onServer(suite)).toEqual([]);
  });

  it('deletes what is left of a queue', async () => {
    const before = suite.open();
    await before.publish('key', { n: 1 }, { delay: HOUR });
    await before.close();
    await (await suite.channel()).exchangeDelete({ exchange: suite.names.exchange });
    await suite.open({ create: false }).deleteQueue();
    expect(await onServer(suite)).toEqual([]);
  });

  it('leaves a queue that can be created again', async () => {
    const before = suite.open();
    await before.publish('key', { n: 1 });
    await before.deleteQueue();
    const queue = suite.open();
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue);
    await eventually(() => holder.numbers.length === 1);
    expect(holder.numbers).toEqual([2]);
  });

  it('is not undone by a publish of this process', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const deleted = queue.deleteQueue();
    const published = Promise.all([
      queue.publish('key', { n: 2 }).catch(() => {}),
      queue.publish('key', { n: 2 }, { delay: HOUR }).catch(() => {}),
    ]);
    await deleted;
    await published;
    expect(await onServer(suite)).toEqual([]);
  });
});

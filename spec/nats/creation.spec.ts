import { NatsBackend } from 'sluice/nats';
import { Holder } from '../support/consumers.js';
import { creationCases } from '../support/creation-cases.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

/** Lists the streams of the server. */
const streamsOf = async (suite: NatsSuite) => {
  const names: string[] = [];
  for await (const name of (await suite.manager()).streams.names()) names.push(name);
  return names.toSorted();
};

describeWithNats('NatsBackend with `create: false`', () => {
  retryOnce();
  const suite = new NatsSuite();

  const { create, notFound } = creationCases({
    suite,
    Backend: NatsBackend,
    foreignGroups: true,
    deleteQueue: async () => {
      const manager = await suite.manager();
      for (const name of await streamsOf(suite)) if (name.startsWith(suite.name)) await manager.streams.delete(name);
    },
    deleteGroup: async (name) => (await suite.manager()).consumers.delete(suite.names.stream, name),
  });

  const open = (options: Parameters<typeof suite.open>[0] = {}) => suite.open({ create: false, ...options });

  it('stores no message for a missing group', async () => {
    await create({ groups: ['a'] });
    for (const delay of [0, HOUR]) {
      const published = open().publish('key', { n: 1 }, { group: 'default', delay });
      expect(await failureOf(published)).toMatchObject(notFound('has no group "default"'));
    }
    expect([await suite.length(), await suite.length(suite.names.delayedStream)]).toEqual([0, 0]);
  });

  it('quarantines a message of an existing queue', async () => {
    await suite.open().stats();
    void new Holder(open());
    await suite.add(`${suite.names.stream}.k`, 'odd');
    await eventually(async () => (await suite.quarantined()).length === 1);
  });

  it('does not change an existing queue', async () => {
    const before = suite.open({ lease: 1000, dedupeWindow: 60_000 });
    await before.stats();
    await before.close();
    for (const groups of [undefined, ['default']]) await open({ groups, lease: 5000 }).stats();
    const { config } = await suite.group();
    expect(config.ack_wait).toBe(1_000_000_000);
    const manager = await suite.manager();
    expect((await manager.streams.info(suite.names.stream)).config.duplicate_window).toBe(60_000_000_000);
  });
});

describeWithNats('deleteQueue() on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  const streams = () => streamsOf(suite);

  it('deletes all streams of the queue, and none of another queue', async () => {
    await suite.open({ name: `${suite.name}-other` }).publish('key', { n: 1 });
    const others = await streams();
    const queue = suite.open({ groups: ['default', 'b'] });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: HOUR });
    await suite.add(`${suite.names.stream}.k`, 'odd');
    const logger = recordingLogger();
    const consuming = suite.open({ groups: ['default', 'b'], logger });
    const holder = new Holder(consuming);
    await eventually(async () => holder.deliveries.length === 1 && (await suite.quarantined()).length === 1);
    await queue.close();
    await consuming.deleteQueue();
    expect([holder.completed, holder.error]).toEqual([true, undefined]);
    expect(await streams()).toEqual(others);
    expect(logger.warnings.filter((line) => !line.includes('could not be retried'))).toEqual([]);
    await expect(consuming.stats()).rejects.toMatchObject({ name: 'QueueClosedError' });
    expect(await suite.length(`${suite.name}-other`)).toBe(1);
  });

  it('does nothing if the queue does not exist', async () => {
    const others = await streams();
    for (const create of [true, false]) await suite.open({ create }).deleteQueue();
    expect(await streams()).toEqual(others);
  });

  it('deletes what is left of a queue', async () => {
    await suite.open().close();
    const before = suite.open();
    await before.publish('key', { n: 1 }, { delay: HOUR });
    await before.close();
    await (await suite.manager()).streams.delete(suite.names.stream);
    await suite.open({ create: false }).deleteQueue();
    expect((await streams()).filter((name) => name.startsWith(suite.name))).toEqual([]);
  });

  it('leaves a queue that can be created again at once', async () => {
    const before = suite.open();
    await before.publish('key', { n: 1 });
    await before.deleteQueue();
    const queue = suite.open();
    await queue.publish('key', { n: 2 });
    const holder = new Holder(queue);
    await eventually(() => holder.numbers.length === 1);
    expect(holder.numbers).toEqual([2]);
    expect(await holder.of(2).ack()).toBe(true);
  });

  it('is not undone by a publish of this process', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 1 });
    const deleted = queue.deleteQueue();
    const published = queue.publish('key', { n: 2 }).catch(() => {});
    await deleted;
    await published;
    expect((await streams()).filter((name) => name.startsWith(suite.name))).toEqual([]);
  });
});

import { AckPolicy, type ConsumerConfig, RetentionPolicy, StorageType, type StreamConfig } from '@nats-io/jetstream';
import { Holder, upTo } from '../support/consumers.js';
import { deleteNatsConsumer } from '../support/delete-nats-consumer.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { describeWithNats, describeWithNatsSince } from '../support/servers/describe-with.js';

/** In milliseconds, longer than a test: a publish that waits for its timeout fails the test. */
const NEVER = 600_000;

describeWithNats('A stream or consumer of another program with a name of the queue', () => {
  const suite = new NatsSuite();

  const failsAtOnce = async (why: RegExp, options: Parameters<typeof suite.open>[0] = {}) => {
    const queue = suite.open({ publishTimeout: NEVER, ...options });
    const holder = new Holder(queue);
    const failures = [await failureOf(queue.publish('key', { n: 1 })), await failureOf(queue.stats())];
    await eventually(() => holder.error !== undefined);
    for (const error of [...failures, holder.error as Error])
      expect(error).toMatchObject({
        name: 'BackendUnavailableError',
        retryable: false,
        message: expect.stringMatching(why),
      });
    expect(failures[0]?.message).toContain(suite.name);
    return queue;
  };

  const works = async (queue: ReturnType<typeof suite.open>) => {
    const holder = new Holder(queue);
    await queue.publish('key', { n: 2 });
    await queue.publish('key', { n: 3 }, { delay: 1 });
    await eventually(() => holder.deliveries.length === 2);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
  };

  it.each<[what: string, config: Partial<StreamConfig>, why: RegExp]>([
    ['has other subjects', { subjects: ['elsewhere.>'] }, /subjects.*elsewhere/],
    ['has more subjects', { subjects: ['$own', 'elsewhere.>'] }, /subjects/],
    ['has another retention', { retention: RetentionPolicy.Interest }, /retention.*interest/],
    ['is a work queue', { retention: RetentionPolicy.Workqueue }, /retention.*workqueue/],
    ['discards old messages beyond a number', { max_msgs: 5 }, /max_msgs/],
    ['discards messages beyond an age', { max_age: 60_000_000_000 }, /max_age/],
    ['discards old messages beyond a size', { max_bytes: 1_000_000 }, /max_bytes/],
    ['keeps one message per subject', { max_msgs_per_subject: 1 }, /max_msgs_per_subject/],
    ['forbids deletions of messages', { deny_delete: true }, /deny_delete/],
    ['does not confirm', { no_ack: true }, /no_ack/],
  ])(
    'fails the backend immediately if the stream %s, and is not changed',
    async (_what, { subjects = ['$own'], ...config }, why) => {
      const manager = await suite.manager();
      const { stream, messages } = suite.names;
      const own = subjects.map((subject) => (subject === '$own' ? messages : subject));
      await manager.streams.add({ name: stream, subjects: own, ...config });
      suite.ending(() => manager.streams.delete(stream).catch(() => {}));
      const before = (await manager.streams.info(stream)).config;
      const queue = await failsAtOnce(why);
      expect((await manager.streams.info(stream)).config).toEqual(before);
      await manager.streams.delete(stream);
      await works(queue);
    },
  );

  it.each<[what: string, config: Partial<StreamConfig>, why: RegExp]>([
    ['has other subjects', { subjects: ['elsewhere.>'] }, /subjects/],
    ['keeps moved messages', { retention: RetentionPolicy.Limits }, /retention/],
  ])('fails the backend immediately if the stream of delayed messages %s', async (_what, config, why) => {
    const manager = await suite.manager();
    const { delayedStream } = suite.names;
    await manager.streams.add({ name: delayedStream, subjects: [`${delayedStream}.>`], ...config });
    const queue = await failsAtOnce(why);
    await manager.streams.delete(delayedStream);
    await works(queue);
  });

  it('fails the backend immediately if another stream has its subjects', async () => {
    const manager = await suite.manager();
    const name = `other-${suite.name}`;
    await manager.streams.add({ name, subjects: [`${suite.names.stream}.order.*`] });
    const queue = await failsAtOnce(/overlap/);
    await manager.streams.delete(name);
    await works(queue);
  });

  /** Fails while a consumer of another program has the name of the group, and works without it. */
  const failsForConsumer = async (config: Partial<ConsumerConfig>, why: RegExp) => {
    const opener = suite.open({ groups: ['other'] });
    await opener.stats();
    const manager = await suite.manager();
    const { stream } = suite.names;
    const filter = config.filter_subject === undefined ? {} : { filter_subject: `${stream}.order` };
    const filters =
      config.filter_subjects === undefined ? {} : { filter_subjects: [`${stream}.order`, `${stream}.invoice`] };
    const rest = { durable_name: 'default', ack_policy: AckPolicy.Explicit, max_ack_pending: -1 };
    await manager.consumers.add(stream, { ...rest, ...config, ...filter, ...filters });
    const queue = await failsAtOnce(why);
    await deleteNatsConsumer(manager, stream, 'default');
    await works(queue);
  };

  it.each<[what: string, config: Partial<ConsumerConfig>, why: RegExp]>([
    ['acknowledges nothing', { ack_policy: AckPolicy.None }, /"default".*ack_policy/],
    ['acknowledges all earlier messages', { ack_policy: AckPolicy.All }, /"default".*ack_policy/],
    ['has a filter', { filter_subject: '$own.order' }, /"default".*filter_subject/],
    ['is pushed', { deliver_subject: 'elsewhere' }, /"default".*deliver_subject/],
    ['gives up after some deliveries', { max_deliver: 3 }, /"default".*max_deliver/],
    ['has a limit of messages in flight', { max_ack_pending: 2 }, /"default".*max_ack_pending/],
  ])('fails the backend immediately if the consumer of its group %s', async (_what, config, why) => {
    await failsForConsumer(config, why);
  });

  describeWithNatsSince([2, 10], 'with several filters', () => {
    it('fails the backend immediately', async () => {
      await failsForConsumer({ filter_subjects: [] }, /"default".*filter_subjects/);
    });
  });

  describeWithNatsSince([2, 11], 'with priority groups', () => {
    it('fails the backend immediately', async () => {
      await failsForConsumer({ priority_groups: ['a'], priority_policy: 'overflow' }, /"default".*priority_groups/);
    });
  });

  it('fails the backend immediately if it requires more replicas than the server has', async () => {
    await failsAtOnce(/replicas/, { replicas: 3 });
  });

  it('fails the backend if the storage contradicts its options', async () => {
    await suite.open({ storage: 'memory' }).stats();
    await failsAtOnce(/storage.*memory.*file/, { storage: 'file' });
    await works(suite.open());
    expect((await (await suite.manager()).streams.info(suite.names.stream)).config.storage).toBe(StorageType.Memory);
  });

  it('does not stop the queue if it has the name of the quarantine', async () => {
    const manager = await suite.manager();
    const { quarantine, stream } = suite.names;
    await manager.streams.add({ name: quarantine, subjects: ['elsewhere.aside'] });
    const queue = suite.open({ lease: 500 });
    const holder = new Holder(queue, { prefetch: 2 }, (delivery) => void delivery.ack());
    await queue.stats();
    await suite.add(`${stream}.k`, 'odd');
    await Promise.all(upTo(10).map((n) => queue.publish('key', { n })));
    await eventually(() => holder.deliveries.length === 10);
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    await manager.streams.delete(quarantine);
    await eventually(async () => (await queue.stats()).unfinished === 0);
    expect((await suite.quarantined()).map(({ data }) => data)).toEqual(['odd']);
  });
});

describeWithNats('Many backends that open a queue at the same time', () => {
  const suite = new NatsSuite();

  it.each(upTo(5))('all open it, with any options (%d)', async () => {
    const queues = upTo(8).map((n) => suite.open({ groups: [`g${n}`], lease: 1000 * n, publishTimeout: 100_000 * n }));
    await Promise.all(queues.map((queue, n) => queue.publish('key', { n })));
    const stats = await Promise.all(queues.map((queue, n) => queue.stats({ group: `g${n + 1}` })));
    expect(stats).toEqual(queues.map(() => ({ ready: 8, unfinished: 8 })));
  });
});

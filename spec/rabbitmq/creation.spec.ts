import { QueueNotFoundError } from 'sluice';
import type { RabbitMqBackend } from 'sluice/rabbitmq';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

/** The calls that need a queue. */
const CALLS: Readonly<Record<string, (queue: RabbitMqBackend) => Promise<unknown>>> = {
  'publish()': (queue) => queue.publish('key', { n: 1 }),
  'publish() with a delay': (queue) => queue.publish('key', { n: 1 }, { delay: HOUR }),
  'stats()': (queue) => queue.stats(),
  'groups()': (queue) => queue.groups(),
  'purge()': (queue) => queue.purge(),
  'diagnose()': (queue) => queue.diagnose(),
};

/** The calls that need the group `default`. */
const GROUP_CALLS: typeof CALLS = {
  'publish()': (queue) => queue.publish('key', { n: 1 }, { group: 'default' }),
  'publish() with a delay': (queue) => queue.publish('key', { n: 1 }, { group: 'default', delay: HOUR }),
  'stats()': (queue) => queue.stats({ group: 'default' }),
  'purge()': (queue) => queue.purge({ group: 'default' }),
};

/** Lists the queues and exchanges of the test's queue. */
const onServer = async (suite: RabbitMqSuite) => {
  const named = async (list: string) => (await suite.rows(list, 'name')).map(([name]) => name ?? '');
  return [...(await named('list_queues')), ...(await named('list_exchanges'))]
    .filter((name) => name.startsWith(suite.name))
    .toSorted();
};

describeWithRabbitMq('A RabbitMqBackend with `create: false`', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  const open = (options: Parameters<typeof suite.open>[0] = {}) => suite.open({ create: false, ...options });

  const expectNotFound = async (call: Promise<unknown>, message: RegExp) => {
    const error = await failureOf(call);
    expect(error).toBeInstanceOf(QueueNotFoundError);
    expect(error.message).toMatch(message);
  };

  const failureOfStream = async (queue: RabbitMqBackend, group?: string) => {
    const holder = new Holder(queue, group === undefined ? {} : { group });
    await eventually(() => holder.error !== undefined);
    return holder.error;
  };

  it.each(Object.entries(CALLS))('fails %s of a missing queue', async (_name, call) => {
    await expectNotFound(call(open()), /^Queue ".*" does not exist \(RabbitMQ at 127\.0\.0\.1:\d+.*\)$/);
  });

  it('creates nothing if the queue is missing', async () => {
    const queue = open();
    for (const call of Object.values(CALLS)) await failureOf(call(queue));
    expect(await failureOfStream(queue)).toBeInstanceOf(QueueNotFoundError);
    expect(await onServer(suite)).toEqual([]);
  });

  it('works when the queue is created later', async () => {
    const queue = open();
    await expectNotFound(queue.stats(), /does not exist/);
    await suite.open().publish('key', { n: 1 });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).nack({ delay: 1 })).toBe(true);
    await eventually(() => holder.deliveries.length === 2);
    await queue.publish('key', { n: 2 }, { delay: 1, group: 'default' });
    await eventually(() => holder.deliveries.length === 3);
  });

  it('fails all calls if a declared group is missing, and creates none', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const before = await onServer(suite);
    const queue = open({ groups: ['a', 'b'] });
    for (const call of Object.values(CALLS)) await expectNotFound(call(queue), /^Queue ".*" has no group "b" /);
    expect(String(await failureOfStream(queue, 'a'))).toMatch(/has no group "b"/);
    expect(await onServer(suite)).toEqual(before);
  });

  it('counts what exists without `groups`, and does not create `default`', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const before = await onServer(suite);
    const queue = open();
    await queue.publish('key', { n: 1 });
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
    expect((await queue.groups()).map(({ ready }) => ready)).toEqual([0]);
    expect(await queue.purge()).toBe(0);
    expect(await suite.open({ groups: ['a'] }).stats()).toEqual({ ready: 1, unfinished: 1 });
    expect(await onServer(suite)).toEqual(before);
  });

  it('fails calls for a missing group without `groups`, and goes on', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const before = await onServer(suite);
    const queue = open();
    for (const call of Object.values(GROUP_CALLS)) await expectNotFound(call(queue), /has no group "default"/);
    expect(String(await failureOfStream(queue))).toMatch(/has no group "default"/);
    await queue.publish('key', { n: 1 });
    expect(await onServer(suite)).toEqual(before);
  });

  it('fails a publish to a queue that has no group', async () => {
    const before = suite.open({ groups: ['a'] });
    await before.stats();
    await before.close();
    await suite.open({ groups: ['b'] }).deleteGroup('a');
    const channel = await suite.channel();
    for (const name of [suite.names.group('b').queue, suite.names.group('b').again]) await channel.queueDelete(name);
    await expectNotFound(open().publish('key', { n: 1 }), /has no group "default"/);
  });

  it('does not recreate a queue that is deleted while it runs', async () => {
    const before = suite.open();
    await before.publish('key', { n: 1 }, { delay: HOUR });
    await before.close();
    const logger = recordingLogger();
    const queue = open({ logger });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 2 });
    await queue.publish('key', { n: 3 }, { delay: HOUR });
    await eventually(() => holder.deliveries.length === 1);
    const channel = await suite.channel();
    for (const name of await onServer(suite)) {
      await channel.exchangeDelete({ exchange: name });
      await channel.queueDelete(name);
    }
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toBeInstanceOf(QueueNotFoundError);
    for (const call of Object.values(CALLS)) await expectNotFound(call(queue), /does not exist/);
    await queue.close();
    expect(await onServer(suite)).toEqual([]);
    expect(logger.warnings.filter((line) => /declared again/.test(line))).toEqual([]);
  });

  it('does not recreate a group that is deleted while it consumes', async () => {
    await suite.open({ groups: ['a', 'b'] }).stats();
    const queue = open({ groups: ['a', 'b'] });
    const holder = new Holder(queue, { group: 'a' });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    const channel = await suite.channel();
    await channel.queueDelete(suite.names.group('a').queue);
    await eventually(() => holder.error !== undefined);
    expect(String(holder.error)).toMatch(/has no group "a"/);
    await expectNotFound(queue.stats({ group: 'a' }), /has no group "a"/);
    expect(await suite.length(suite.names.group('a').queue)).toBeUndefined();
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

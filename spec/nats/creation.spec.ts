import { QueueNotFoundError } from 'sluice';
import type { NatsBackend } from 'sluice/nats';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

const HOUR = 3_600_000;

/** The calls that need a queue. */
const CALLS: Readonly<Record<string, (queue: NatsBackend) => Promise<unknown>>> = {
  'publish()': (queue) => queue.publish('key', { n: 1 }),
  'publish() with a delay': (queue) => queue.publish('key', { n: 1 }, { delay: HOUR }),
  'stats()': (queue) => queue.stats(),
  'groups()': (queue) => queue.groups(),
  'peek()': (queue) => queue.peek(),
  'purge()': (queue) => queue.purge(),
  'diagnose()': (queue) => queue.diagnose(),
};

/** The calls that need the group `default`. */
const GROUP_CALLS: typeof CALLS = {
  'publish()': (queue) => queue.publish('key', { n: 1 }, { group: 'default' }),
  'publish() with a delay': (queue) => queue.publish('key', { n: 1 }, { group: 'default', delay: HOUR }),
  'stats()': (queue) => queue.stats({ group: 'default' }),
  'peek()': (queue) => queue.peek(),
  'purge()': (queue) => queue.purge({ group: 'default' }),
};

describeWithNats('A NatsBackend with `create: false`', () => {
  retryOnce();
  const suite = new NatsSuite();

  const open = (options: Parameters<typeof suite.open>[0] = {}) => suite.open({ create: false, ...options });

  /** Lists the streams of the test's queue. */
  const streams = async () => {
    const names: string[] = [];
    for await (const name of (await suite.manager()).streams.names()) names.push(name);
    return names.filter((name) => name.startsWith(suite.name)).toSorted();
  };

  const consumers = async () => {
    const names: string[] = [];
    for await (const { name } of (await suite.manager()).consumers.list(suite.names.stream)) names.push(name);
    return names.filter((name) => !name.startsWith('count~')).toSorted();
  };

  const expectNotFound = async (call: Promise<unknown>, message: RegExp) => {
    const error = await failureOf(call);
    expect(error).toBeInstanceOf(QueueNotFoundError);
    expect(error.message).toMatch(message);
  };

  const failureOfStream = async (queue: NatsBackend, group?: string) => {
    const holder = new Holder(queue, group === undefined ? {} : { group });
    await eventually(() => holder.error !== undefined);
    return holder.error;
  };

  it.each(Object.entries(CALLS))('fails %s of a missing queue, and creates nothing', async (_name, call) => {
    await expectNotFound(call(open()), /^Queue ".*" does not exist \(NATS at 127\.0\.0\.1:\d+\)$/);
    expect(await streams()).toEqual([]);
  });

  it('fails the stream of a missing queue, and creates nothing', async () => {
    expect(await failureOfStream(open())).toBeInstanceOf(QueueNotFoundError);
    expect(await streams()).toEqual([]);
  });

  it('works when the queue is created later', async () => {
    const queue = open();
    await expectNotFound(queue.stats(), /does not exist/);
    await suite.open().publish('key', { n: 1 });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 1);
    expect(await holder.of(1).ack()).toBe(true);
  });

  it('fails all calls if a declared group is missing, and creates none', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const queue = open({ groups: ['a', 'b'] });
    for (const call of [CALLS['publish()'], CALLS['stats()'], CALLS['groups()'], CALLS['purge()']])
      await expectNotFound(call?.(queue) ?? Promise.resolve(), /^Queue ".*" has no group "b" /);
    expect(String(await failureOfStream(queue, 'a'))).toMatch(/has no group "b"/);
    expect(await consumers()).toEqual(['a']);
  });

  it('counts what exists without `groups`, and does not create `default`', async () => {
    await suite.open({ groups: ['a'] }).publish('key', { n: 1 });
    const queue = open();
    await queue.publish('key', { n: 2 });
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
    expect((await queue.groups()).filter(({ name }) => name === 'a')).toEqual([
      { name: 'a', declared: false, ready: 2, unfinished: 2 },
    ]);
    expect(await queue.purge()).toBe(2);
    expect(await consumers()).toEqual(['a']);
  });

  it.each(Object.entries(GROUP_CALLS))('fails %s for a missing group without `groups`', async (_name, call) => {
    await suite.open({ groups: ['a'] }).stats();
    await expectNotFound(call(open()), /has no group "default"/);
    expect(await consumers()).toEqual(['a']);
    expect([await suite.length(), await suite.length(suite.names.delayedStream)]).toEqual([0, 0]);
  });

  it('fails the stream of a missing group without `groups`, and goes on with others', async () => {
    await suite.open({ groups: ['a'] }).stats();
    const queue = open();
    expect(String(await failureOfStream(queue))).toMatch(/has no group "default"/);
    await queue.publish('key', { n: 1 });
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 1 });
    expect(await consumers()).toEqual(['a']);
  });

  it('does not recreate a queue that is deleted while it runs', async () => {
    const before = suite.open();
    await before.publish('key', { n: 1 }, { delay: HOUR });
    await before.close();
    const logger = recordingLogger();
    const queue = open({ logger });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 2 });
    await eventually(() => holder.deliveries.length === 1);
    const manager = await suite.manager();
    for (const stream of await streams()) await manager.streams.delete(stream);
    await eventually(() => holder.error !== undefined);
    expect(holder.error).toBeInstanceOf(QueueNotFoundError);
    for (const call of Object.values(CALLS)) await expectNotFound(call(queue), /does not exist/);
    await queue.close();
    expect(await streams()).toEqual([]);
    expect(logger.warnings.filter((line) => /created again/.test(line))).toEqual([]);
  });

  it('does not recreate a group that is deleted while it consumes', async () => {
    await suite.open({ groups: ['a', 'b'] }).stats();
    const queue = open({ groups: ['a', 'b'] });
    const holder = new Holder(queue, { group: 'a' });
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.deliveries.length === 1);
    await (await suite.manager()).consumers.delete(suite.names.stream, 'a');
    await eventually(() => holder.error !== undefined);
    expect(String(holder.error)).toMatch(/has no group "a"/);
    expect(await consumers()).toEqual(['b']);
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

  const streams = async () => {
    const names: string[] = [];
    for await (const name of (await suite.manager()).streams.names()) names.push(name);
    return names.toSorted();
  };

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

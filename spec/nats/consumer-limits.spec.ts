import { AckPolicy, RetentionPolicy } from '@nats-io/jetstream';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { describeWithNats, describeWithNatsSince } from '../support/servers/describe-with.js';

/** Longer than any of these tests takes, in milliseconds. */
const LONG = 100_000;

const ADVICE = /maximum consumers limit reached.*nats consumer rm.*max_consumers.*default_max_consumers/;

/** Expects publishing and consuming to fail immediately, with the reason and the remedy. */
async function failsAtOnce(suite: NatsSuite, groups: readonly string[]): Promise<void> {
  const queue = suite.open({ groups, publishTimeout: LONG });
  const holder = new Holder(queue, { group: groups.at(-1) as string });
  const error = await failureOf(queue.publish('key', { n: 1 }));
  await eventually(() => holder.error !== undefined);
  for (const failure of [error, holder.error]) {
    expect(failure).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: false,
      message: expect.stringMatching(ADVICE),
    });
  }
}

describeWithNats('A NatsBackend whose stream has a maximum of consumers', () => {
  const suite = new NatsSuite();

  const limit = async (max_consumers: number) => {
    const { stream, messages } = suite.names;
    await (await suite.manager()).streams.add({
      name: stream,
      subjects: [messages],
      retention: RetentionPolicy.Limits,
      max_consumers,
    });
  };

  const consumers = async () =>
    (await (await suite.manager()).consumers.list(suite.names.stream).next()).map(({ name }) => name);

  /**
   * The stream has two messages for all groups and two for `a`. Group `b` has settled the first and
   * has received no other: it will get one of them.
   */
  const midway = async () => {
    const consumer = suite.open({ groups: ['a', 'b'] });
    await consumer.publish('key', { n: 1 });
    const b = new Holder(consumer, { group: 'b' });
    await eventually(() => b.held.length === 1);
    expect(await b.held[0]?.ack()).toBe(true);
    await consumer.close();
    const queue = suite.open({ groups: ['a', 'b'] });
    for (const group of ['a', 'a', undefined]) await queue.publish('key', { n: 2 }, { group });
    return queue;
  };

  it('fails immediately for one group too many, and says what to do', async () => {
    await limit(1);
    await failsAtOnce(suite, ['a', 'b']);
    expect(await consumers()).toEqual(['a']);
  });

  it('opens the existing groups', async () => {
    await limit(2);
    await suite.open({ groups: ['a', 'b'] }).stats();
    await suite.open({ groups: ['a', 'b'] }).publish('key', { n: 1 });
    await suite.open({ groups: ['a', 'b'], lease: 60_000 }).publish('key', { n: 1 });
  });

  it('counts too many messages rather than failing if the server refuses a counter', async () => {
    await limit(2);
    const queue = await midway();
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 2, unfinished: 2 });
    expect((await consumers()).sort()).toEqual(['a', 'b']);
  });

  it('creates a group when the counters are deleted', async () => {
    await limit(3);
    const queue = await midway();
    expect(await queue.stats({ group: 'b' })).toEqual({ ready: 1, unfinished: 1 });
    expect(await consumers()).toEqual(expect.arrayContaining([expect.stringMatching(/^count~/)]));
    await suite.open({ groups: ['a', 'b', 'c'] }).publish('key', { n: 1 });
    expect((await consumers()).sort()).toEqual(['a', 'b', 'c']);
  });

  it('does not wait for consumers of other programs', async () => {
    await limit(2);
    const { stream } = suite.names;
    await (await suite.manager()).consumers.add(stream, {
      name: 'looker',
      ack_policy: AckPolicy.None,
      inactive_threshold: 3_600_000_000_000,
    });
    await failsAtOnce(suite, ['a', 'b']);
  });
});

describeWithNatsSince([2, 15], 'A NatsBackend whose server limits the consumers of each stream', () => {
  const suite = new NatsSuite({ jetStream: { limits: '{ default_max_consumers: 2 }' } });

  it('fails immediately for one group too many, and says what to do', async () => {
    await suite.open({ groups: ['a', 'b'] }).publish('key', { n: 1 });
    await failsAtOnce(suite, ['a', 'b', 'c']);
  });
});

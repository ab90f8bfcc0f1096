import fc from 'fast-check';
import { queueKeys } from '../../src/redis/keys.js';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RedisSuite } from '../support/redis-suite.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

/** Names of groups, publishers and consumers to make keys of. */
const GROUPS = ['default', 'a', 'a:b', '{a}', ':'];

function allKeys(queue: string): string[] {
  const keys = queueKeys(queue);
  const ofGroups = GROUPS.flatMap((group) => [
    keys.requeued(group),
    keys.retries(group),
    `${keys.fence(group)}host:1:0123456789ab~30000`,
  ]);
  return [
    keys.stream,
    keys.wakeStream,
    keys.delayed,
    keys.quarantine,
    keys.settled,
    keys.addressed,
    keys.published('0123456789abcdef'),
    `${keys.idPrefix}order-7`,
    ...ofGroups,
  ];
}

/** The part of a key that a cluster hashes. */
function hashTag(key: string): string {
  const open = key.indexOf('{');
  const close = key.indexOf('}', open + 1);
  return open >= 0 && close > open + 1 ? key.slice(open + 1, close) : key;
}

const name = fc.oneof(
  fc.string({ unit: fc.constantFrom('{', '}', '%', ':', 'a', '7', 'B', 'D', '2', '5'), minLength: 1, maxLength: 12 }),
  fc.string({ unit: 'binary', minLength: 1, maxLength: 20 }),
);

describe('queueKeys', () => {
  it('never gives the same key to two queues', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        fc.pre(one !== other);
        const keys = new Set(allKeys(one));
        expect(allKeys(other).filter((key) => keys.has(key))).toEqual([]);
      }),
      { numRuns: 2000 },
    );
  });

  it('gives distinct keys in one slot with a common prefix', () => {
    fc.assert(
      fc.property(name, (queue) => {
        const keys = allKeys(queue);
        expect(new Set(keys.map(hashTag)).size).toBe(1);
        expect(new Set(keys).size).toBe(keys.length);
        expect(keys.every((key) => key.startsWith(keys[0] as string))).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  it('does not change a name without braces and percent signs', () => {
    expect(queueKeys('orders: new/ü 😀\n').stream).toBe('orders: new/ü 😀\n');
    expect(queueKeys('{a}%').stream).toBe('%7Ba%7D%25');
  });
});

describeWithRedis('Names of queues and groups', () => {
  const suite = new RedisSuite();

  it.each([
    '{',
    '}',
    '{}',
    '{a}b',
    'a{b',
    '%7B',
    '100 %',
    'with space',
    'a:b:',
    'line\nbreak',
    '\u0000',
    '😀',
    '*?[x]\\',
    'é'.repeat(127),
    'x'.repeat(255),
  ])('are accepted: %j', async (odd) => {
    const queue = suite.open({ name: odd, groups: [odd, 'other'] });
    const holder = new Holder(queue, { group: odd, prefetch: 3 });
    await queue.publish('key', { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await eventually(() => holder.deliveries.length === 2);
    expect([holder.of(1).queue, queue.name]).toEqual([odd, odd]);
    expect(await queue.stats({ group: odd })).toEqual({ ready: 0, unfinished: 2 });
    await holder.of(1).nack();
    await eventually(() => holder.deliveries.length === 3);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    expect(await queue.stats({ group: odd })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'other' })).toEqual({ ready: 2, unfinished: 2 });
    const keys = (await suite.run('KEYS', '*')) as string[];
    expect(keys.filter((key) => !key.startsWith(queueKeys(odd).stream))).toEqual([]);
    await queue.close();
    await suite.run('FLUSHALL');
  });

  it.each([
    ['{a}', '%7Ba%7D'],
    ['a', 'a:{a}:bell'],
    ['a', 'a:'],
    ['100%', '100%25'],
    ['a', 'A'],
    ['é', 'e\u0301'],
  ])('%j and %j belong to different queues', async (one, other) => {
    const queues = [suite.open({ name: one }), suite.open({ name: other })] as const;
    const holders = queues.map((queue) => new Holder(queue));
    await queues[0].publish('key', { n: 1 });
    await queues[1].publish('key', { n: 2 }, { delay: 1 });
    await eventually(() => holders.every(({ deliveries }) => deliveries.length > 0));
    expect(holders.map(({ numbers }) => numbers)).toEqual([[1], [2]]);
    await Promise.all(queues.map((queue) => queue.close()));
    await suite.run('FLUSHALL');
  });
});

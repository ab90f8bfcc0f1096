import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNats } from '../support/servers/describe-with.js';

describeWithNats('The name of a queue and of a group', () => {
  const suite = new NatsSuite();

  const clear = async () => {
    const manager = await suite.manager();
    for await (const name of manager.streams.names()) await manager.streams.delete(name);
  };

  it.each([
    'orders',
    'a.b.c',
    '.',
    '..',
    '.a.',
    '*',
    '>',
    'a.>',
    '100 %',
    '%41',
    'with space',
    'tab\tand\nbreak',
    '\u0000',
    'a/b\\c',
    '$JS',
    '$JS.API',
    '_INBOX',
    '=41',
    'a~delayed',
    'é',
    '😀',
    'é'.repeat(127),
    'x'.repeat(255),
    '.'.repeat(255),
    '~'.repeat(255),
  ])('may be %j', async (odd) => {
    const queue = suite.open({ name: odd, groups: [odd, 'other'] });
    const holder = new Holder(queue, { group: odd, prefetch: 3 });
    await queue.publish(odd, { n: 1 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await eventually(() => holder.deliveries.length === 2);
    expect([holder.of(1).queue, holder.of(1).key, queue.name]).toEqual([odd, odd, odd]);
    expect(await queue.stats({ group: odd })).toEqual({ ready: 0, unfinished: 2 });
    await holder.of(1).nack();
    await eventually(() => holder.deliveries.length === 3);
    await Promise.all(holder.held.map((delivery) => delivery.ack()));
    expect(await queue.stats({ group: odd })).toEqual({ ready: 0, unfinished: 0 });
    expect(await queue.stats({ group: 'other' })).toEqual({ ready: 2, unfinished: 2 });
    await queue.close();
    await clear();
  });

  it.each([
    ['a', 'a.b'],
    ['a', 'a~delayed'],
    ['a', 'a~aside'],
    ['a.b', 'a=2Eb'],
    ['a', 'A'],
    ['é', 'e\u0301'],
    ['a*', 'a>'],
    [`${'x'.repeat(254)}a`, `${'x'.repeat(254)}b`],
  ])('distinguishes %j and %j', async (one, other) => {
    const queues = [suite.open({ name: one }), suite.open({ name: other })] as const;
    const holders = queues.map((queue) => new Holder(queue));
    await queues[0].publish('key', { n: 1 });
    await queues[1].publish('key', { n: 2 }, { delay: 1 });
    await eventually(() => holders.every(({ deliveries }) => deliveries.length > 0));
    expect(holders.map(({ numbers }) => numbers)).toEqual([[1], [2]]);
    await Promise.all(queues.map((queue) => queue.close()));
    await clear();
  });

  it('distinguishes two groups with similar names', async () => {
    const groups = ['a.b', 'a b', 'a_b', 'A.B', 'a=2Eb'];
    const queue = suite.open({ groups });
    await queue.publish('key', { n: 1 });
    const holders = groups.map((group) => new Holder(queue, { group }));
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 1));
    for (const holder of holders) expect(await holder.of(1).ack()).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });
});

describeWithNats('The key of a message', () => {
  const suite = new NatsSuite();

  const odd = [
    'order.placed',
    '.',
    '..',
    '...',
    '.a',
    'a.',
    'a..b',
    '*',
    'a.*.b',
    '>',
    'a.>',
    '%',
    '%2E',
    '100%25',
    ' ',
    'a b',
    '\u0000',
    '\r\n',
    'é',
    '😀',
    'm.5.key',
    'clock',
    '$JS.API.INFO',
    'é'.repeat(127),
    '.'.repeat(255),
    '*'.repeat(255),
    '\u0001'.repeat(255),
    '__proto__',
  ];

  it('may be any string, with a delay and without', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 200 });
    for (const key of odd) await queue.publish(key, { n: 1 });
    await eventually(() => holder.deliveries.length === odd.length);
    expect(holder.deliveries.map(({ key }) => key)).toEqual(odd);
    await Promise.all(odd.map((key) => queue.publish(key, { n: 2 }, { delay: 5 })));
    await eventually(() => holder.deliveries.length === 2 * odd.length);
    expect(new Set(holder.deliveries.slice(odd.length).map(({ key }) => key))).toEqual(new Set(odd));
  });

  it('is a subject that other programs can filter by, if its characters allow it', async () => {
    const queue = suite.open({ name: 'orders' });
    await queue.publish('order.placed', { n: 1 });
    await queue.publish('a b', { n: 2 });
    expect((await suite.stored('orders')).map(({ subject }) => subject)).toEqual([
      'orders.order.placed',
      'orders.a%20b',
    ]);
  });
});

describeWithNats('The headers of a message', () => {
  const suite = new NatsSuite();

  it.each<Record<string, string>>([
    {},
    { a: 'line\r\nbreak', 'b\r\n': '\n' },
    { 'é 😀': 'ü\u0000\u007f\u2028', empty: '' },
    { ' spaces ': '  at both ends  ' },
    {
      'Nats-Msg-Id': 'mine',
      'Nats-Expected-Last-Sequence': '99',
      'Nats-Rollup': 'all',
      'Sluice-Headers': 'x',
      'Sluice-Published-At': '5',
    },
    { constructor: 'x', toString: 'y' },
    { long: 'x'.repeat(60_000) },
  ])('arrive unchanged: %#', async (headers) => {
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 }, { headers });
    await queue.publish('key', { n: 2 }, { headers, delay: 1 });
    await eventually(() => holder.deliveries.length === 2);
    expect(holder.deliveries.map((delivery) => ({ ...delivery.headers }))).toEqual([headers, headers]);
  });

  it('are refused if they exceed the maximum of the server, without affecting other messages', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, { prefetch: 200 });
    const good: number[] = [];
    for (let n = 64_850; n <= 65_600; n += 10) {
      for (const delay of [0, 1]) {
        await queue.publish('key', { n: n + delay }, { delay, headers: { long: 'x'.repeat(n) } }).then(
          () => good.push(n + delay),
          (error: unknown) =>
            expect(error).toMatchObject({ name: 'InvalidMessageError', message: expect.stringContaining('headers') }),
        );
      }
    }
    await queue.publish('key', { n: 0 }, { headers: { a: 'b' } });
    expect(good.length).toBeGreaterThan(10);
    expect(good.length).toBeLessThan(140);
    await eventually(() => holder.deliveries.length > good.length);
    expect(holder.numbers.toSorted((one, other) => one - other)).toEqual([0, ...good]);
  });
});

import { describeWithEveryEngine } from '../integration/every-engine.js';
import { CliSuite, linesOf, shown } from '../support/cli-suite.js';
import { numberOf, upTo } from '../support/consumers.js';
import { createdOn, namesOn } from '../support/server-names.js';

const firstAttempts = (numbers: readonly number[]) => numbers.map((n) => [n, 1]);

describeWithEveryEngine('sluice publish on %s', (broker, engine) => {
  const suite = new CliSuite(broker, engine);

  it('publishes a message with its options', async () => {
    const cli = suite.cli();
    const options = ['--id', 'one', '--header', 'trace=t1', '--header', 'sum=a=b'];
    const result = await cli.run('publish', 'orders.created', '{"order":7}', ...options);
    expect(result).toEqual({ code: 0, out: '{"confirmed":1}\n', err: '' });
    expect(await cli.values('consume', '--limit', '1')).toEqual([
      {
        id: 'one',
        key: 'orders.created',
        payload: { order: 7 },
        headers: { trace: 't1', sum: 'a=b' },
        attempt: 1,
        publishedAt: expect.any(Number),
      },
    ]);
  });

  it('publishes an empty payload by default, and delays a message', async () => {
    const cli = suite.cli();
    expect(await cli.values('publish', 'later', '--delay', '1h')).toEqual([{ confirmed: 1 }]);
    expect(await suite.open().stats()).toEqual({ ready: 0, unfinished: 1 });
  });

  it('publishes the lines of stdin in order, with any line end and between blank lines', async () => {
    const cli = suite.cli();
    const input = `${linesOf([1, 2])}\n \r\n{"key":"number","payload":{"n":3}}\r\n{"key":"number","payload":{"n":4}}`;
    expect(await cli.runWith(input, 'publish', '-')).toEqual({ code: 0, out: '{"confirmed":4}\n', err: '' });
    expect(await suite.take(suite.open(), 4)).toEqual(firstAttempts(upTo(4)));
  });

  it.each([
    ['no JSON', 'oops'],
    ['invalid UTF-8', Buffer.from([0x7b, 0xff, 0x7d])],
    ['a message that the queue refuses', '{"key":"","payload":{}}'],
  ])('names a line with %s, and publishes nothing after it', async (_, line) => {
    const cli = suite.cli();
    const input = Buffer.concat([linesOf([1, 2]), line, '\n', linesOf([3, 4])].map((part) => Buffer.from(part)));
    const { code, out, err } = await cli.runWith(input, 'publish', '-');
    expect({ code, out }).toEqual({ code: 1, out: '{"confirmed":2}\n' });
    expect(err).toMatch(/^error: line 3: .*\(2 messages before it confirmed\)\n$/);
    const queue = suite.open();
    expect(await queue.stats()).toEqual({ ready: 2, unfinished: 2 });
    expect(await suite.take(queue, 2)).toEqual(firstAttempts([1, 2]));
  });

  it('publishes the lines of consume as they are, with a key for those without', async () => {
    const cli = suite.cli();
    await suite.publish(3);
    const { out } = await cli.run('consume', '--limit', '3');
    const lines = `${out}{"payload":{"n":4}}\n`;
    const toCopy = ['publish', 'number', '-', '--name', `${suite.name}.copy`];
    expect((await cli.runWith(lines, ...toCopy)).code).toBe(0);
    const copy = suite.open({ suffix: '.copy' });
    expect((await suite.take(copy, 4)).map(([n]) => n)).toEqual(upTo(4));
    // Again, as somebody does who has purged them: they are new messages.
    expect((await cli.runWith(out, ...toCopy)).code).toBe(0);
    expect((await suite.take(copy, 3)).map(([n]) => n)).toEqual(upTo(3));
  });

  it('publishes only to the given group', async () => {
    const cli = suite.cli({ QUEUE_GROUPS: 'billing,audit' });
    await cli.values('publish', 'number', '{"n":1}', '--group', 'audit');
    await cli.values('publish', 'number', '{"n":2}');
    const own = '{"key":"number","payload":{"n":4},"group":"billing"}\n';
    await cli.runWith(`${linesOf([3])}${own}`, 'publish', '-', '--group', 'audit');
    const queue = suite.open({ groups: ['billing', 'audit'] });
    expect(await suite.take(queue, 3, 'audit')).toEqual(firstAttempts([1, 2, 3]));
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 2, unfinished: 2 });
  });

  it('publishes to one group of a queue without the variable', async () => {
    const queue = suite.open({ groups: ['default', 'audit'] });
    await queue.stats();
    const { code, err } = await suite.cli().run('publish', 'number', '{"n":1}', '--group', 'audit');
    // AMQP cannot list groups.
    if (broker.backend === 'rabbitmq') expect([code, err]).toEqual([1, expect.stringContaining('"audit"')]);
    else expect(await queue.stats({ group: 'audit' })).toEqual({ ready: 1, unfinished: 1 });
    expect(await queue.stats({ group: 'default' })).toEqual({ ready: 0, unfinished: 0 });
  });

  it('adds no group to a queue that has others', async () => {
    const queue = suite.open({ groups: ['billing', 'audit'] });
    await queue.stats();
    const before = await namesOn(suite.server);
    const publish = (variables = {}) => suite.cli(variables).run('publish', 'number', '{"n":1}');
    // AMQP cannot list groups.
    if (broker.backend === 'rabbitmq') {
      const { code, out, err } = await publish();
      expect({ code, out }).toEqual({ code: 2, out: '' });
      expect(err).toMatch(/^error: Queue "[^"]*" exists, and its groups are not known\. Name them [^\n]*\n$/);
    }
    const variables = broker.backend === 'rabbitmq' ? { QUEUE_GROUPS: 'billing,audit' } : {};
    expect(await publish(variables)).toEqual({ code: 0, out: '{"confirmed":1}\n', err: '' });
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 1, unfinished: 1 });
    const created = await createdOn(suite.server, before);
    expect(created.filter((name) => name.includes('default'))).toEqual([]);
  });
});

describeWithEveryEngine('sluice consume on %s', (broker, engine) => {
  const suite = new CliSuite(broker, engine);

  it('shows messages as they come', async () => {
    const queue = suite.open();
    await queue.publish('number', { n: 1 });
    const consume = suite.cli().start('consume', '--limit', '2');
    await consume.printed(1);
    await queue.publish('number', { n: 2 });
    const { code, out, err } = await consume.ended();
    expect([code, shown(out), err]).toEqual([0, firstAttempts([1, 2]), '']);
  });

  it('leaves the queue as it was', async () => {
    await suite.publish(5);
    const cli = suite.cli();
    const first = await cli.run('consume', '--limit', '5');
    const second = await cli.run('consume', '--limit', '5', '--release');
    expect(shown(first.out)).toEqual(firstAttempts(upTo(5)));
    const again = broker.countsReleases ? 2 : 1;
    const sorted = shown(second.out).toSorted(([one], [other]) => one - other);
    expect(broker.countsReleases ? sorted : shown(second.out)).toEqual(upTo(5).map((n) => [n, again]));
    expect(await suite.open().stats()).toEqual({ ready: 5, unfinished: 5 });
  });

  it('acknowledges what it has shown, and takes no more than the limit', async () => {
    await suite.publish(5);
    const { code, out } = await suite.cli().run('consume', '--ack', '--limit', '2');
    expect([code, shown(out)]).toEqual([0, firstAttempts([1, 2])]);
    expect(await suite.open().stats()).toEqual({ ready: 3, unfinished: 3 });
    const rest = await suite.cli().run('consume', '--ack', '--wait', '500ms');
    expect([rest.code, shown(rest.out).map(([n]) => n)]).toEqual([0, [3, 4, 5]]);
    if (!broker.countsReleases) expect(shown(rest.out)).toEqual(firstAttempts([3, 4, 5]));
    expect(await suite.open().stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('acknowledges more messages than it has in flight', async () => {
    const queue = await suite.publish(300);
    const { code, out } = await suite.cli().run('consume', '--ack', '--limit', '200');
    expect([code, shown(out)]).toEqual([0, firstAttempts(upTo(200))]);
    expect(await queue.stats()).toEqual({ ready: 100, unfinished: 100 });
  });

  it('ends with success if no message comes', async () => {
    await suite.open().stats();
    const result = await suite.cli().run('consume', '--wait', '200ms');
    expect(result).toEqual({ code: 0, out: '', err: '' });
  });

  it('shows a message to one of two commands', async () => {
    await suite.publish(6);
    const cli = suite.cli();
    const both = await Promise.all([1, 2].map(() => cli.run('consume', '--ack', '--wait', '2s')));
    expect(both.map(({ code }) => code)).toEqual([0, 0]);
    const numbers = both.flatMap(({ out }) => shown(out)).map(([n]) => n);
    expect(numbers.toSorted()).toEqual(upTo(6));
  });

  it('takes the only group by default, and asks which of several', async () => {
    const queue = suite.open({ groups: ['billing', 'audit'] });
    await queue.publish('number', { n: 1 });
    const cli = suite.cli({ QUEUE_GROUPS: 'billing,audit' });
    const { code, out, err } = await cli.run('consume', '--limit', '1');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^error: Queue ".*" has the groups .*billing.* Choose one with --group\.\n$/);
    // The flag declares other groups than the variable.
    const one = await cli.run('consume', '--limit', '1', '--group', 'audit', '--groups', 'audit');
    expect([one.code, shown(one.out)]).toEqual([0, firstAttempts([1])]);
    expect(numberOf(JSON.parse(one.out).payload)).toBe(1);
  });

  it('overrides the variables by flags, before and after the command', async () => {
    await suite.publish(1);
    const cli = suite.cli({ QUEUE_BACKEND: 'memory', [engine.variable]: 'nowhere', QUEUE_NAME: 'other' });
    const flags = ['--backend', engine.name, '--url', suite.url, '--name', suite.name] as const;
    const before = await cli.run(...flags, 'consume', '--limit', '1', '--ack');
    expect([before.code, shown(before.out), before.err]).toEqual([0, firstAttempts([1]), '']);
    const after = await cli.run('publish', 'number', '{"n":2}', ...flags);
    expect(after).toEqual({ code: 0, out: '{"confirmed":1}\n', err: '' });
    expect((await suite.open().stats()).ready).toBe(1);
  });
});

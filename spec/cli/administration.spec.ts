import { AsyncLoopConsumer } from 'sluice';
import { describeWithEveryEngine } from '../integration/every-engine.js';
import { CliSuite, shown } from '../support/cli-suite.js';
import { numberOf, upTo } from '../support/consumers.js';
import { silentLogger } from '../support/recording-logger.js';
import { createdOn, namesOn } from '../support/server-names.js';

/** Every command that needs a queue, with arguments of which each is valid. */
const COMMANDS: readonly (readonly string[])[] = [
  ['consume', '--limit', '1'],
  ['consume', '--ack'],
  ['peek'],
  ['stats'],
  ['stats', '--watch'],
  ['purge', '--yes'],
  ['groups'],
  ['delete-group', 'billing', '--yes'],
  ['doctor'],
];

describeWithEveryEngine('sluice looks after a queue on %s', (broker, engine) => {
  const suite = new CliSuite(broker, engine);
  const canPeek = broker.backend !== 'rabbitmq';

  it('counts the messages of the queue and its groups', async () => {
    const queue = suite.open({ groups: ['default', 'billing'] });
    await queue.publish('number', { n: 1 });
    await queue.publish('number', { n: 2 }, { group: 'billing', delay: 3_600_000 });
    const cli = suite.cli({ QUEUE_GROUPS: 'default,billing' });
    const groups = [
      expect.objectContaining({ name: 'billing', ready: 1, unfinished: 2 }),
      expect.objectContaining({ name: 'default', ready: 1, unfinished: 1 }),
    ];
    const [stats, listed] = await Promise.all([cli.values('stats'), cli.values('groups')]);
    const total = await queue.stats();
    expect(stats).toEqual([{ queue: suite.name, ...total, groups: expect.arrayContaining(groups) }]);
    expect(listed).toHaveLength(2);
    expect(listed).toEqual(expect.arrayContaining(groups));
  });

  it('counts again and again, until a signal', async () => {
    const queue = suite.open();
    await queue.publish('number', { n: 1 });
    const watch = suite.cli().start('stats', '--watch', '--interval', '50ms');
    await watch.printed(1);
    await queue.publish('number', { n: 2 });
    await watch.until(({ out }) => out.includes('"ready":2'));
    watch.child.kill('SIGINT');
    const { code, err } = await watch.ended();
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(JSON.parse(watch.lines[0] ?? '')).toMatchObject({ queue: suite.name, status: 'connected', ready: 1 });
  });

  it('shows waiting messages without taking them', async () => {
    const queue = suite.open();
    for (const n of upTo(3)) await queue.publish('number', { n });
    await queue.publish('number', { n: 4 }, { delay: 3_600_000 });
    const { code, out, err } = await suite.cli().run('peek', '--limit', '2');
    if (!canPeek) {
      expect({ code, out }).toEqual({ code: 1, out: '' });
      expect(err).toMatch(/^error: .*Or run: sluice consume --limit 2 --wait 2s\n$/);
      return;
    }
    expect([code, shown(out), err]).toEqual([
      0,
      [
        [1, 1],
        [2, 1],
      ],
      '',
    ]);
    const all = await suite.cli().run('peek');
    expect(shown(all.out).map(([n]) => n)).toEqual(upTo(4));
    expect(JSON.parse(all.out.split('\n')[3] ?? '').due).toBeGreaterThan(Date.now());
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 4 });
  });

  it('removes messages of one group or of all, only with --yes', async () => {
    const queue = suite.open({ groups: ['default', 'billing'] });
    for (const n of upTo(3)) await queue.publish('number', { n }, { delay: n === 3 ? 3_600_000 : 0 });
    const cli = suite.cli({ QUEUE_GROUPS: 'default,billing' });
    const refused = await cli.run('purge');
    expect(refused).toEqual({ code: 2, out: '', err: expect.stringMatching(/^error: Expected --yes.*\n$/) });
    expect((await queue.stats({ group: 'billing' })).unfinished).toBe(3);
    expect(await cli.values('purge', '--group', 'billing', '--yes')).toEqual([{ removed: expect.any(Number) }]);
    expect((await queue.stats({ group: 'billing' })).ready).toBe(0);
    expect((await queue.stats({ group: 'default' })).ready).toBe(2);
    expect(await cli.values('purge', '--yes')).toEqual([{ removed: expect.any(Number) }]);
    // The process that has delayed a message may count it until then: it need not know of the purge.
    await queue.close();
    const other = suite.open({ groups: ['default', 'billing'] });
    expect(await other.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('deletes a group with its messages, only with --yes and only once', async () => {
    const queue = suite.open({ groups: ['default', 'billing'] });
    await queue.publish('number', { n: 1 });
    const cli = suite.cli();
    const refused = await cli.run('delete-group', 'billing');
    expect(refused).toEqual({ code: 2, out: '', err: expect.stringMatching(/^error: Expected --yes.*\n$/) });
    expect(await queue.stats({ group: 'billing' })).toEqual({ ready: 1, unfinished: 1 });
    await queue.close();
    expect(await cli.values('delete-group', 'billing', '--yes')).toEqual([{ deleted: 'billing' }]);
    const again = await cli.run('delete-group', 'billing', '--yes');
    expect(again).toEqual({ code: 1, out: '', err: `error: Queue "${suite.name}" has no group "billing"\n` });
    expect(await suite.open().stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('does not delete a group that the variables declare', async () => {
    await suite.open({ groups: ['default', 'billing'] }).stats();
    const cli = suite.cli({ QUEUE_GROUPS: 'default,billing' });
    const { code, out, err } = await cli.run('delete-group', 'billing', '--yes');
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/^error: .*billing.*\n$/);
    expect(await namesOn(suite.server)).toEqual(expect.arrayContaining([expect.stringContaining('billing')]));
  });

  it('finds a group without consumers, and no problem without messages', async () => {
    const queue = suite.open();
    await queue.stats();
    const consumer = new AsyncLoopConsumer(queue, { logger: silentLogger });
    const running = consumer.run((payload) => numberOf(payload));
    const examined = await suite.cli().run('doctor');
    const [healthy] = examined.out.split('\n').map((line) => line && JSON.parse(line));
    expect(healthy).toMatchObject({ queue: suite.name, server: expect.any(String), node: process.versions.node });
    const codes = (findings: readonly { readonly code: string }[]) => findings.map(({ code }) => code);
    expect(codes(healthy.findings)).not.toContain('group-without-consumer');
    const problems = healthy.findings.filter(({ severity }: { severity: string }) => severity === 'problem');
    expect(examined.code).toBe(problems.length === 0 ? 0 : 1);
    await consumer.shutdown();
    await running;
    await queue.publish('number', { n: 1 });
    await queue.close();
    const { code, out } = await suite.cli().run('doctor');
    expect(code).toBe(1);
    expect(JSON.parse(out).findings).toContainEqual(
      expect.objectContaining({
        code: 'group-without-consumer',
        severity: 'problem',
        message: expect.stringContaining('retains 1 message,'),
      }),
    );
  });

  it('says that a queue does not exist, and creates nothing', async () => {
    const before = await namesOn(suite.server);
    const results = await Promise.all([...COMMANDS, ['replay', suite.name]].map((args) => suite.cli().run(...args)));
    for (const result of results)
      expect(result).toEqual({ code: 1, out: '', err: expect.stringMatching(/^error: .*does not exist.*\n$/) });
    for (const { err } of results) expect(err).toContain(`"${suite.name}"`);
    expect(await createdOn(suite.server, before)).toEqual([]);
  });

  it('says that a group does not exist, and creates nothing', async () => {
    await suite.open().publish('number', { n: 1 });
    const before = await namesOn(suite.server);
    const commands = [
      ['consume', '--limit', '1'],
      ['purge', '--yes'],
      ['replay', suite.name, 'other'],
      ...(canPeek ? [['peek']] : []),
    ];
    const results = await Promise.all(commands.map((args) => suite.cli().run(...args, '--group', 'billing')));
    for (const result of results)
      expect(result).toEqual({ code: 1, out: '', err: expect.stringMatching(/^error: .*"billing".*\n$/) });
    expect(await createdOn(suite.server, before)).toEqual([]);
    expect(await suite.open().stats()).toEqual({ ready: 1, unfinished: 1 });
  });

  it('measures the engine, and leaves nothing behind', async () => {
    const before = await namesOn(suite.server);
    const [result] = await suite.cli().values('bench', '--messages', '200', '--size', '10');
    expect(result).toMatchObject({ messages: 200, size: 10 });
    expect(result).toEqual(
      expect.objectContaining({
        publish: expect.any(Number),
        consume: expect.any(Number),
        latency: { p50: expect.any(Number), p99: expect.any(Number) },
      }),
    );
    expect(await createdOn(suite.server, before)).toEqual([]);
  });
});

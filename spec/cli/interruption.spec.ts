import { describeWithEveryEngine } from '../integration/every-engine.js';
import { CliSuite, linesOf, shown } from '../support/cli-suite.js';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { createdOn, namesOn } from '../support/server-names.js';

/** More than a pipe holds, in characters: the next line is not written while nobody reads. */
const MORE_THAN_A_PIPE = 200_000;

describeWithEveryEngine('An interrupted command of sluice on %s', (broker, engine) => {
  const suite = new CliSuite(broker, engine);

  it('requeues what consume has shown', async () => {
    const queue = await suite.publish(5);
    const consume = suite.cli().start('consume');
    await consume.printed(5);
    consume.child.kill('SIGTERM');
    const { code, err } = await consume.ended();
    expect({ code, err }).toEqual({ code: 0, err: '' });
    expect(await queue.stats()).toEqual({ ready: 5, unfinished: 5 });
    const messages = await suite.take(queue, 5);
    const attempt = broker.countsReleases ? 2 : 1;
    expect(messages.toSorted(([one], [other]) => one - other)).toEqual(upTo(5).map((n) => [n, attempt]));
    if (!broker.countsReleases) expect(messages.map(([n]) => n)).toEqual(upTo(5));
  });

  it('ends at once on a second signal while the server does not answer', async () => {
    await suite.publish(3);
    const { proxy, url } = await suite.proxy();
    const consume = suite.cli({ [engine.variable]: url }).start('consume');
    await consume.printed(3);
    proxy.stall();
    await eventually(() => {
      // Within a second, it counts as the first signal again.
      consume.child.kill('SIGINT');
      return consume.child.exitCode !== null;
    });
    const { code, err } = await consume.ended();
    // On a slow machine, a warning that the server does not answer may come first.
    expect([code, err.match(/^error: .*/m)]).toEqual([1, null]);
  });

  it('acknowledges exactly what consume --ack has shown', async () => {
    const queue = await suite.publish(1000);
    const consume = suite.cli().start('consume', '--ack');
    await consume.printed(1);
    consume.child.kill('SIGINT');
    const { code, out, err } = await consume.ended();
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const seen = shown(out).map(([n]) => n);
    const rest = 1000 - seen.length;
    expect(await queue.stats()).toEqual({ ready: rest, unfinished: rest });
    const messages = await suite.take(queue, rest);
    expect([...seen, ...messages.map(([n]) => n)].toSorted((one, other) => one - other)).toEqual(upTo(1000));
  });

  it('ends consume when its reader has closed the pipe, and leaves the queue as it was', async () => {
    const queue = await suite.publish(3, 'x'.repeat(MORE_THAN_A_PIPE));
    const { code, out, err } = await suite.cli().runIntoHead(1, 'consume');
    expect([code, shown(out).map(([n]) => n), err]).toEqual([0, [1], '']);
    expect(await queue.stats()).toEqual({ ready: 3, unfinished: 3 });
  });

  it('does not acknowledge a message whose line could not be written', async () => {
    const queue = await suite.publish(3, 'x'.repeat(MORE_THAN_A_PIPE));
    const { code, out, err } = await suite.cli().runIntoHead(1, 'consume', '--ack');
    expect([code, shown(out), err]).toEqual([0, [[1, 1]], '']);
    const messages = await suite.take(queue, 2);
    expect(messages.map(([n]) => n).toSorted()).toEqual([2, 3]);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });

  it('tells what publish - has confirmed', async () => {
    const queue = suite.open();
    await queue.stats();
    const publish = suite.cli().start('publish', '-');
    publish.child.stdin.write(`${linesOf([1, 2, 3])}{"key":"number","pay`);
    await eventually(async () => (await queue.stats()).ready === 3);
    publish.child.kill('SIGINT');
    expect(await publish.ended()).toEqual({
      code: 1,
      out: '{"confirmed":3}\n',
      err: 'error: Interrupted after line 3: 3 messages confirmed\n',
    });
    expect((await suite.take(queue, 3)).map(([n]) => n)).toEqual([1, 2, 3]);
  });

  it('loses no letter of replay, and doubles none', async () => {
    const letters = 2000;
    const orders = suite.open();
    await orders.stats();
    const failed = suite.open({ suffix: '.failed' });
    const headers = { 'sluice-queue': suite.name };
    await Promise.all(upTo(letters).map((n) => failed.publish('number', { n }, { headers })));
    const replay = suite.cli().start('replay', failed.name);
    await eventually(async () => (await orders.stats()).ready > 0);
    replay.child.kill('SIGINT');
    const { code, out, err } = await replay.ended();
    const { replayed } = JSON.parse(out);
    expect(replayed).toBeGreaterThan(0);
    // On a fast machine it may have replayed all of them before.
    const count = replayed.toLocaleString('en-US');
    expect([code, err]).toEqual(
      replayed === letters ? [0, ''] : [1, `error: Interrupted: ${count} letters replayed\n`],
    );
    expect([(await orders.stats()).unfinished, (await failed.stats()).ready]).toEqual([replayed, letters - replayed]);
    const numbers = [...(await suite.take(orders, replayed)), ...(await suite.take(failed, letters - replayed))];
    expect(numbers.map(([n]) => n).toSorted((one, other) => one - other)).toEqual(upTo(letters));
  });

  it('leaves nothing of bench behind', async () => {
    const before = await namesOn(suite.server);
    const bench = suite.cli().start('bench', '--messages', '10000000');
    await eventually(async () => (await createdOn(suite.server, before)).length > 0);
    bench.child.kill('SIGINT');
    expect(await bench.ended()).toEqual({ code: 1, out: '', err: 'error: Interrupted\n' });
    expect(await createdOn(suite.server, before)).toEqual([]);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { InvalidMessageError, QueueClosedError } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf, turns } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

describeWithNats('A publish on NATS', () => {
  retryOnce();
  const suite = new NatsSuite();

  const stored = async () => (await suite.stored()).map((message) => message.json<{ n: number }>().n);

  it('keeps the order of many calls', async () => {
    const queue = suite.open();
    await Promise.all(upTo(5000).map((n) => queue.publish('key', { n })));
    expect(await stored()).toEqual(upTo(5000));
  });

  it('is stored once and in order if its confirm is lost', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 0 });
    proxy.stall('to-client');
    const published = Promise.all(upTo(50).map((n) => queue.publish('key', { n })));
    await eventually(async () => (await suite.length()) === 51);
    proxy.cut();
    proxy.resume();
    await published;
    expect(await stored()).toEqual([0, ...upTo(50)]);
  });

  it('is stored once if its confirm is lost, with a delay', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 0 });
    proxy.stall('to-client');
    const published = Promise.all(upTo(20).map((n) => queue.publish('key', { n }, { delay: 3_600_000 })));
    await eventually(async () => (await suite.length(suite.names.delayedStream)) === 20);
    proxy.cut();
    proxy.resume();
    await published;
    expect(await queue.stats()).toEqual({ ready: 1, unfinished: 21 });
  });

  it('keeps the order while the connection is cut repeatedly', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const published: Promise<void>[] = [];
    for (const n of upTo(600)) {
      published.push(queue.publish('key', { n }));
      if (n % 100 === 0) proxy.cut();
      if (n % 10 === 0) await sleep(5);
    }
    await Promise.all(published);
    expect(await stored()).toEqual(upTo(600));
  });

  it('waits while the server is down, and resumes when it is back', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 0 });
    await suite.server.shutDown();
    const published = Promise.all(upTo(20).map((n) => queue.publish('key', { n })));
    await sleep(300);
    await suite.server.start();
    await published;
    expect(await stored()).toEqual([0, ...upTo(20)]);
  });

  it('rejects after its timeout while the server is down, and was not enqueued', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, publishTimeout: 3000 });
    await queue.publish('key', { n: 0 });
    await proxy.refuse();
    proxy.cut();
    await eventually(() => proxy.connections === 0);
    await turns(5);
    const error = await failureOf(queue.publish('key', { n: 1 }));
    expect(error).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: true,
      message: expect.stringMatching(/within 3000 ms.*was not enqueued/),
    });
    await proxy.accept();
    await queue.publish('key', { n: 2 });
    expect(await stored()).toEqual([0, 2]);
  });

  it('rejects after its timeout if there is no confirm, and may have been enqueued', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, publishTimeout: 3000 });
    await queue.publish('key', { n: 0 });
    proxy.stall('to-client');
    const error = await failureOf(queue.publish('key', { n: 1 }));
    expect(error).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: true,
      message: expect.stringContaining('may have been enqueued'),
    });
    proxy.resume();
    await queue.publish('key', { n: 2 });
    expect(await stored()).toEqual([0, 1, 2]);
  });

  it('rejects with the reason of its signal if that aborts before it is sent, not after', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 0 });
    const aborter = new AbortController();
    proxy.stall('to-client');
    const sent = queue.publish('key', { n: 1 }, { signal: aborter.signal });
    await eventually(async () => (await suite.length()) === 2);
    aborter.abort(new Error('enough'));
    proxy.resume();
    await sent;
    await proxy.refuse();
    proxy.cut();
    await eventually(() => proxy.connections === 0);
    await turns(5);
    const other = new AbortController();
    const waiting = queue.publish('key', { n: 2 }, { signal: other.signal });
    await sleep(50);
    other.abort(new Error('no more'));
    expect((await failureOf(waiting)).message).toBe('no more');
    await proxy.accept();
    await queue.publish('key', { n: 3 });
    expect(await stored()).toEqual([0, 1, 3]);
  });

  it('notices a stalled connection, and resumes over another', async () => {
    const { proxy, url } = await suite.proxy();
    const logger = recordingLogger();
    const queue = suite.open({ url, lease: 3000, logger });
    await queue.publish('key', { n: 0 });
    proxy.stall();
    const published = queue.publish('key', { n: 1 });
    await eventually(() => logger.warnings.length > 0);
    proxy.cut();
    proxy.resume();
    await published;
    expect(await stored()).toEqual([0, 1]);
  });

  it('leaves room on the link: about a megabyte is in transit, and at least one message', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 0 });
    proxy.stall('to-client');
    const text = 'x'.repeat(400_000);
    const published = Promise.all(upTo(6).map((n) => queue.publish('key', { n, text })));
    await eventually(async () => (await suite.length()) === 3);
    await sleep(200);
    expect(await stored()).toEqual([0, 1, 2]);
    proxy.resume();
    await published;
    await queue.publish('key', { n: 7, text: 'x'.repeat(1_047_000) });
    expect(await stored()).toEqual([0, ...upTo(7)]);
  });

  it('resolves before close() does, and rejects after it', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 0 });
    const published = Promise.all(upTo(2000).map((n) => queue.publish('key', { n })));
    await queue.close();
    await published;
    expect(await suite.length()).toBe(2001);
    expect(QueueClosedError.is(await failureOf(queue.publish('key', { n: 1 })))).toBe(true);
    expect(QueueClosedError.is(await failureOf(queue.stats()))).toBe(true);
  });

  it('is not delayed by a publish without a confirm', async () => {
    const queue = suite.open();
    await queue.publish('key', { n: 0 });
    await Promise.all(upTo(20).map((n) => queue.publish('key', { n, pad: 'x'.repeat(n % 2 === 0 ? 500_000 : 1) })));
    expect(await stored()).toEqual([0, ...upTo(20)]);
  });
});

describeWithNats('A publish that exceeds the maximum of the server', () => {
  const suite = new NatsSuite({ maxPayload: 2000 });

  it('is refused at the exact byte, with its headers, and other messages are stored', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const calls = upTo(60).map((n) => {
      const call = queue.publish('key', { n, pad: 'x'.repeat(1700 + 5 * n) }, { headers: { a: 'b' } });
      return call.then(
        () => true,
        (error: unknown) => {
          expect(InvalidMessageError.is(error)).toBe(true);
          expect(String(error)).toMatch(/payload.*2000/);
          return false;
        },
      );
    });
    const last = queue.publish('key', { n: 61 });
    const taken = await Promise.all(calls);
    await last;
    expect(new Set(taken)).toEqual(new Set([true, false]));
    expect(await suite.length()).toBe(taken.filter((one) => one).length + 1);
    expect(logger.warnings).toEqual([]);
  });

  it('does not delay later messages, however large it is', async () => {
    const queue = suite.open();
    const refused = failureOf(queue.publish('key', { n: 1, pad: 'x'.repeat(3_000_000) }));
    await queue.publish('key', { n: 2 });
    expect(InvalidMessageError.is(await refused)).toBe(true);
  });

  it('is refused with a delay', async () => {
    const queue = suite.open();
    const error = await failureOf(queue.publish('key', { pad: 'x'.repeat(2000) }, { delay: 10 }));
    expect(InvalidMessageError.is(error)).toBe(true);
    expect(await queue.stats()).toEqual({ ready: 0, unfinished: 0 });
  });
});

describeWithNats('A publish to a full stream', () => {
  const suite = new NatsSuite();

  it('waits for room, and says why there was none', async () => {
    const queue = suite.open({ publishTimeout: 5000 });
    await queue.stats();
    const manager = await suite.manager();
    await manager.streams.update(suite.names.stream, { max_msgs: 2, discard: 'new' as never });
    for (const n of [1, 2]) await queue.publish('key', { n });
    const error = await failureOf(queue.publish('key', { n: 3 }));
    expect(error).toMatchObject({ name: 'BackendUnavailableError', message: expect.stringContaining('enqueued') });
    const waiting = queue.publish('key', { n: 4 });
    await sleep(100);
    await manager.streams.update(suite.names.stream, { max_msgs: -1 });
    await waiting;
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length >= 3);
    expect(holder.numbers).toEqual([1, 2, 4]);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { BackendUnavailableError, QueueClosedError } from 'sluice';
import type { RedisBackend } from 'sluice/redis';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf, stateOf, turns } from '../support/promises.js';
import { RedisSuite } from '../support/redis-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRedis } from '../support/servers/describe-with.js';

describeWithRedis('Publishing to Redis', () => {
  retryOnce();
  const suite = new RedisSuite();

  const publish = (queue: RedisBackend, numbers: readonly number[]) =>
    Promise.all(numbers.map((n) => queue.publish('key', { n })));

  const scripts = async () => (await suite.calls('evalsha')) + (await suite.calls('eval'));

  /** The numbers of the stored messages, in order. */
  const stored = async () => {
    const entries = (await suite.run('XRANGE', suite.name, '-', '+')) as [string, string[]][];
    return entries.map(([, fields]) => JSON.parse(String(fields[fields.indexOf('payload') + 1])).n as number);
  };

  it('sends the messages of one turn in one command', async () => {
    const queue = suite.open();
    await publish(queue, [0]);
    const before = await scripts();
    await publish(queue, upTo(100));
    expect((await scripts()) - before).toBe(1);
    expect(await suite.length()).toBe(101);
  });

  it('splits large batches into several commands, so that none blocks the server for long', async () => {
    const queue = suite.open();
    await publish(queue, [0]);
    const before = await scripts();
    const large = 'x'.repeat(600_000);
    await Promise.all(upTo(4).map((n) => queue.publish('key', { n, large })));
    await Promise.all(upTo(600).map((n) => queue.publish('key', { n })));
    expect((await scripts()) - before).toBe(4 + 3);
  });

  it('counts a delay from the call, not from the connect', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url });
    const published = queue.publish('key', { n: 1 }, { delay: 60_000 });
    await sleep(300);
    await proxy.accept();
    await published;
    const [, due] = (await suite.run('ZRANGE', suite.key('delayed'), '0', '0', 'WITHSCORES')) as [string, string];
    const [seconds, micros] = (await suite.run('TIME')) as [string, string];
    expect(Number(due) - (Number(seconds) * 1000 + Number(micros) / 1000)).toBeLessThan(60_000 - 250);
  });

  const DELAY = 600_000;

  /** Makes every delayed message due. */
  const makeDue = () =>
    suite.run(
      'EVAL',
      "for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZINCRBY', KEYS[1], ARGV[1], id) end",
      '1',
      suite.key('delayed'),
      String(-DELAY),
    );

  it('stores a message after thousands that became due before, even if batches are in flight', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const published = upTo(2500).map((n) => queue.publish('key', { n }, { delay: DELAY }));
    let pumps = true;
    const pump = async () => {
      while (pumps) {
        const one = queue.publish('key', { n: 0 });
        published.push(one);
        await one;
      }
    };
    // While one message is being sent, the next one waits.
    for (let turn = 0; turn < 3; turn++) {
      void pump();
      await turns(1);
    }
    await eventually(async () => (await suite.run('ZCARD', suite.key('delayed'))) === 2500);
    proxy.stall('to-client');
    pumps = false;
    await makeDue();
    published.push(queue.publish('key', { n: 2501 }));
    proxy.resume();
    await Promise.all(published);
    const holder = new Holder(queue, { prefetch: published.length });
    await eventually(() => holder.deliveries.length === published.length);
    expect(holder.numbers.filter((n) => n > 0)).toEqual(upTo(2501));
  });

  it('sends the settlements of one turn and the request for the next messages in one command', async () => {
    const queue = suite.open();
    await publish(queue, upTo(100));
    const holder = new Holder(queue, { prefetch: 50 });
    await eventually(() => holder.deliveries.length === 50);
    const before = await scripts();
    await Promise.all(holder.held.map((delivery, index) => (index % 2 === 0 ? delivery.ack() : delivery.reject())));
    expect(holder.deliveries).toHaveLength(100);
    expect((await scripts()) - before).toBe(1);
  });

  it('keeps the order of calls across batches, large payloads, turns and lost connections', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const large = 'x'.repeat(600_000);
    const published = upTo(600).map((n) => queue.publish('key', { n, filling: n % 97 === 0 ? large : '' }));
    await Promise.race(published);
    proxy.cut();
    for (const n of upTo(50)) {
      published.push(queue.publish('key', { n: 600 + n }));
      if (n % 10 === 0) await sleep(1);
    }
    await Promise.all(published);
    expect(await stored()).toEqual(upTo(650));
  });

  it('stores a batch once if its reply is lost', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await publish(queue, [0]);
    proxy.stall('to-client');
    const published = Promise.all(upTo(5).map((n) => queue.publish('key', { n }, n === 5 ? { delay: 100 } : {})));
    await eventually(async () => (await suite.length()) === 5);
    // The publisher does not know whether the batch arrived, and resends it.
    proxy.cut();
    proxy.resume();
    await published;
    await publish(queue, [6]);
    await eventually(async () => (await queue.stats()).ready === 7);
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length >= 7);
    expect(holder.numbers.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(proxy.accepted).toBeGreaterThan(1);
  });

  it('stores a batch once if it did not arrive', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await publish(queue, [0]);
    proxy.stall('to-target');
    const published = publish(queue, upTo(5));
    await sleep(20);
    proxy.cut();
    proxy.resume();
    await published;
    expect(await stored()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('reports unsent messages as not enqueued after the timeout and does not send them later', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url, publishTimeout: 1500 });
    const failures = await Promise.all(upTo(3).map((n) => failureOf(queue.publish('key', { n }))));
    for (const error of failures) {
      expect(error).toMatchObject({
        code: BackendUnavailableError.code,
        retryable: true,
        message: expect.stringMatching(/1500 ms.*was not enqueued/),
      });
      expect(`${error.message} ${error.cause}`).toContain('ECONNREFUSED');
    }
    await proxy.accept();
    await eventually(async () => (await queue.stats().catch(() => undefined)) !== undefined);
    await publish(queue, [4]);
    expect(await stored()).toEqual([4]);
  });

  it('reports a sent message as possibly enqueued after the timeout, and unsent ones as not enqueued', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url, publishTimeout: 3000 });
    await publish(queue, [0]);
    proxy.stall('to-client');
    const first = failureOf(queue.publish('key', { n: 1 }));
    await eventually(async () => (await suite.length()) === 2);
    const second = failureOf(queue.publish('key', { n: 2 }));
    expect(await first).toMatchObject({
      code: BackendUnavailableError.code,
      retryable: true,
      message: expect.stringContaining('may have been enqueued'),
    });
    expect(await second).toMatchObject({
      code: BackendUnavailableError.code,
      retryable: true,
      message: expect.stringContaining('was not enqueued'),
    });
    proxy.cut();
    proxy.resume();
    await eventually(async () => (await queue.stats().catch(() => undefined)) !== undefined);
    await publish(queue, [3]);
    expect(await stored()).toEqual([0, 1, 3]);
  });

  it('applies the timeout to each message separately', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url, publishTimeout: 1000 });
    const early = failureOf(queue.publish('key', { n: 1 }));
    await sleep(600);
    const late = queue.publish('key', { n: 2 });
    const lateFailure = failureOf(late);
    expect(await early).toMatchObject({ retryable: true });
    expect(await stateOf(late)).toBe('pending');
    expect(await lateFailure).toMatchObject({ retryable: true });
  });

  it('reports a sent message as possibly enqueued if the server refuses the resend', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await publish(queue, [0]);
    proxy.stall('to-client');
    const failure = failureOf(queue.publish('key', { n: 1 }));
    await eventually(async () => (await suite.length()) === 2);
    await suite.run('ACL', 'SETUSER', 'default', '-evalsha', '-eval');
    suite.ending(() => suite.run('ACL', 'SETUSER', 'default', '+@all'));
    proxy.cut();
    proxy.resume();
    expect(await failure).toMatchObject({
      retryable: false,
      message: expect.stringContaining('may have been enqueued'),
    });
  });

  it('does not send a message if its signal aborts while it waits for a connection', async () => {
    const { proxy, url } = await suite.proxy();
    await proxy.refuse();
    const queue = suite.open({ url });
    const aborter = new AbortController();
    const published = [
      queue.publish('key', { n: 1 }),
      queue.publish('key', { n: 2 }, { signal: aborter.signal }),
      queue.publish('key', { n: 3 }),
    ];
    const aborted = failureOf(published[1] as Promise<void>);
    await sleep(20);
    const reason = new Error('enough');
    aborter.abort(reason);
    expect(await aborted).toBe(reason);
    await proxy.accept();
    await Promise.all([published[0], published[2]]);
    expect(await stored()).toEqual([1, 3]);
  });

  it('waits for the confirm of a sent message although its signal aborts', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await publish(queue, [0]);
    proxy.stall('to-client');
    const aborter = new AbortController();
    const published = queue.publish('key', { n: 1 }, { signal: aborter.signal });
    await eventually(async () => (await suite.length()) === 2);
    aborter.abort();
    expect(await stateOf(published)).toBe('pending');
    proxy.resume();
    await published;
  });

  it('confirms pending messages at close() or reports them as not sent', async () => {
    const queue = suite.open();
    await publish(queue, [0]);
    const published = publish(queue, upTo(10));
    await queue.close();
    await published;
    expect(await suite.length()).toBe(11);
    const nowhere = suite.open({ url: 'redis://127.0.0.1:1' });
    const failure = failureOf(nowhere.publish('key', {}));
    await sleep(20);
    await nowhere.close();
    expect(await failure).toMatchObject({
      code: QueueClosedError.code,
      message: expect.stringContaining('before a message was sent'),
    });
  });

  it('fails immediately if the server is out of memory', async () => {
    const queue = suite.open();
    await publish(queue, [0]);
    await suite.run('CONFIG', 'SET', 'maxmemory', '1');
    suite.ending(() => suite.run('CONFIG', 'SET', 'maxmemory', '0'));
    const failures = [
      failureOf(queue.publish('key', { n: 1 })),
      failureOf(queue.publish('key', { n: 2 }, { delay: 1 })),
    ];
    for (const failure of failures) expect(await failure).toMatchObject({ message: expect.stringContaining('OOM') });
    await suite.run('CONFIG', 'SET', 'maxmemory', '0');
    await publish(queue, [3]);
    expect(await stored()).toEqual([0, 3]);
  });

  it('is refused without memory, but messages are still delivered and settled', async () => {
    const queue = suite.open();
    await publish(queue, [1, 2, 3]);
    await suite.run('XADD', suite.name, '*', 'not', 'ours');
    await queue.publish('key', { n: 4 }, { delay: 1 });
    await suite.run('CONFIG', 'SET', 'maxmemory', '1');
    suite.ending(() => suite.run('CONFIG', 'SET', 'maxmemory', '0'));
    // This queue connects while the server has no memory.
    const other = suite.open();
    const holder = new Holder(other, { prefetch: 1 });
    const next = (count: number) => eventually(() => holder.deliveries.length === count);
    await next(1);
    expect(await holder.of(1).nack()).toBe(true);
    await next(2);
    expect(await holder.of(1).nack({ delay: 1 })).toBe(true);
    void new Holder(other, { prefetch: 5 }, (delivery) => void delivery.ack());
    await next(3);
    expect(await holder.held[0]?.ack()).toBe(true);
    await suite.run('CONFIG', 'SET', 'maxmemory', '0');
    holder.subscription.unsubscribe();
    await eventually(async () => (await other.stats()).unfinished === 0);
  });

  it('waits while the server refuses temporarily and then continues', async () => {
    const queue = suite.open();
    await publish(queue, [0]);
    await suite.run('REPLICAOF', '127.0.0.1', '1');
    suite.ending(() => suite.run('REPLICAOF', 'NO', 'ONE'));
    const published = publish(queue, upTo(5));
    await sleep(200);
    await suite.run('REPLICAOF', 'NO', 'ONE');
    await published;
    expect(await stored()).toEqual([0, 1, 2, 3, 4, 5]);
  });
});

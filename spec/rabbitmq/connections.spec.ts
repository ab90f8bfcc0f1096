import { setTimeout as sleep } from 'node:timers/promises';
import type { Connection } from 'rabbitmq-client';
import { BackendUnavailableError, QueueClosedError } from 'sluice';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { failureOf, stateOf } from '../support/promises.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('Connections of a RabbitMqBackend', () => {
  retryOnce();
  const suite = new RabbitMqSuite({ advanced: { dead_letter_worker_publisher_confirm_timeout: '1000' } });

  const received = (holder: Holder, count: number) =>
    eventually(
      () => holder.deliveries.length === count,
      () => holder.attempts,
    );
  it('are opened on first use, one for publishing and one for consuming, and closed by close()', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const stream = queue.deliveries();
    await sleep(50);
    expect(proxy.accepted).toBe(0);
    await Promise.all(upTo(5).map((n) => queue.publish('key', { n })));
    expect(proxy.connections).toBe(1);
    const subscription = stream.subscribe();
    await eventually(async () => (await queue.stats()).ready === 0);
    expect(proxy.connections).toBe(2);
    subscription.unsubscribe();
    await queue.stats();
    expect(proxy.accepted).toBe(2);
    await queue.close();
    await eventually(() => proxy.connections === 0);
    expect(await failureOf(queue.publish('key', {}))).toBeInstanceOf(QueueClosedError);
    expect(await failureOf(queue.stats())).toBeInstanceOf(QueueClosedError);
  });

  it('separate the delays of queues of one name in different vhosts', async () => {
    const [vhost, otherVhost] = [`a-${suite.name}`, `b-${suite.name}`];
    for (const each of [vhost, otherVhost]) {
      await suite.server.run('add_vhost', each);
      suite.ending(() => suite.server.run('delete_vhost', each));
      await suite.server.run('set_permissions', '--vhost', each, 'guest', '.*', '.*', '.*');
    }
    const queue = suite.open({ url: `${suite.url}/${vhost}` });
    const others = [
      suite.open({ url: `${suite.url}/${otherVhost}` }),
      suite.open({ client: suite.client({ vhost: otherVhost }) }),
    ];
    await Promise.all(upTo(5).map((n) => queue.publish('key', { n }, { delay: 600_000 })));
    const stats = await Promise.all([queue, ...others].map((each) => each.stats()));
    expect(stats.map(({ unfinished }) => unfinished)).toEqual([5, 0, 0]);
  });

  it('recover: messages published meanwhile wait and are stored in order', async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    await queue.publish('key', { n: 1 });
    await proxy.refuse();
    proxy.cut();
    const published = [2, 3, 4].map((n) => queue.publish('key', { n }, { delay: n === 3 ? 1 : 0 }));
    await sleep(100);
    expect(await Promise.all(published.map(stateOf))).toEqual(['pending', 'pending', 'pending']);
    await proxy.accept();
    await Promise.all(published);
    const holder = new Holder(queue);
    await received(holder, 4);
    expect(holder.numbers.filter((n) => n !== 3)).toEqual([1, 2, 4]);
  });

  it('reject a publish in time and tell whether the message may have been enqueued', async () => {
    const { proxy, url } = await suite.proxy();
    const logger = recordingLogger();
    const queue = suite.open({ url, publishTimeout: 3000, logger });
    await queue.publish('key', { n: 0 });
    proxy.stall('to-client');
    const sent = failureOf(queue.publish('key', { n: 1 }));
    await eventually(async () => (await suite.length(suite.names.group('default').queue)) === 2);
    expect(await sent).toMatchObject({
      code: BackendUnavailableError.code,
      retryable: true,
      message: expect.stringContaining('may have been enqueued'),
    });
    await proxy.refuse();
    proxy.cut();
    proxy.resume();
    await eventually(() => logger.warnings.length > 0);
    const reason = new Error('enough');
    const aborter = new AbortController();
    const failures = [
      failureOf(queue.publish('key', { n: 2 })),
      failureOf(queue.publish('key', { n: 3 }, { signal: aborter.signal })),
      failureOf(queue.stats()),
    ];
    aborter.abort(reason);
    expect(await failures[0]).toMatchObject({
      code: BackendUnavailableError.code,
      retryable: true,
      message: expect.stringContaining('was not enqueued'),
    });
    expect(await failures[1]).toBe(reason);
    expect(await failures[2]).toMatchObject({ code: BackendUnavailableError.code, retryable: true });
    await proxy.accept();
    // The backoff may be longer than the publish timeout of this queue. A message that was sent too
    // late may be enqueued.
    let n = 3;
    await eventually(() =>
      queue.publish('key', { n: ++n }).then(
        () => true,
        () => false,
      ),
    );
    const stored = (await suite.take(suite.names.group('default').queue)).map(
      ({ body }) => JSON.parse(String(body)).n as number,
    );
    expect(stored.filter((number) => number < 4)).toEqual([0, 1]);
    expect(stored.filter((number) => number === n)).toEqual([n]);
  });

  it.each(['refuses', 'stalls', 'stalls new ones'] as const)(
    'close soon with messages in flight although the broker %s connections',
    async (how) => {
      const { proxy, url } = await suite.proxy();
      const queue = suite.open({ url });
      const holder = new Holder(queue);
      await queue.publish('key', { n: 1 });
      await received(holder, 1);
      if (how === 'refuses') await proxy.refuse();
      else proxy.stall();
      if (how !== 'stalls') proxy.cut();
      const answers = [
        failureOf(queue.publish('key', { n: 2 })),
        failureOf(queue.stats()),
        holder.of(1).nack({ delay: 10 }),
      ];
      await sleep(100);
      await queue.close();
      expect(await answers[0]).toMatchObject({ code: QueueClosedError.code });
      expect(await answers[1]).toBeInstanceOf(Error);
      await answers[2];
      expect(holder.completed).toBe(true);
      await eventually(() => proxy.connections === 0 || how !== 'refuses');
    },
  );

  it('are opened by close() to finish a publish and a nack with a delay', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ logger });
    const published = queue.publish('key', { n: 1 });
    await queue.close();
    await published;
    const consumer = suite.open({ logger });
    const holder = new Holder(consumer);
    await received(holder, 1);
    const before = performance.now();
    const counted = holder.of(1).nack({ delay: 1000 });
    await consumer.close();
    expect(await counted).toBe(true);
    const other = new Holder(suite.open());
    await received(other, 1);
    expect(performance.now() - before).toBeGreaterThanOrEqual(999);
    expect(other.attempts).toEqual([[1, 2]]);
    expect(logger.warnings).toEqual([]);
  });

  it('keep publishes waiting while blocked, reject them with the reason, and do not affect consumers', async () => {
    const logger = recordingLogger();
    const queue = suite.open({ publishTimeout: 3000, logger });
    const holder = new Holder(queue, { prefetch: 1 });
    await Promise.all(upTo(3).map((n) => queue.publish('key', { n })));
    await received(holder, 1);
    await suite.server.run('set_vm_memory_high_watermark', '0');
    try {
      // The broker notifies publishers only.
      expect((await failureOf(queue.publish('key', { n: 4 }))).message).toMatch(
        /blocked.*memory.*may have been enqueued/,
      );
      const failures = [
        failureOf(queue.publish('key', { n: 5 })),
        failureOf(queue.publish('key', { n: 6 }, { delay: 5 })),
      ];
      for (const n of [1, 2]) {
        expect(await holder.of(n).ack()).toBe(true);
        await received(holder, n + 1);
      }
      expect(await holder.of(3).release()).toBe(true);
      await received(holder, 4);
      for (const failure of failures) expect((await failure).message).toMatch(/blocked.*memory.*was not enqueued/);
      const waiting = queue.publish('key', { n: 7 });
      await suite.server.run('set_vm_memory_high_watermark', '0.4');
      await waiting.catch(() => undefined);
      await queue.publish('key', { n: 8 });
      expect(await holder.of(3).ack()).toBe(true);
    } finally {
      await suite.server.run('set_vm_memory_high_watermark', '0.4');
    }
  });

  describe('of a given client', () => {
    const handed = (url = suite.url): Connection => suite.client({ url }).on('error', () => undefined);

    it('are shared by several queues, stay open, and keep no listeners', async () => {
      const { proxy, url } = await suite.proxy();
      const client = handed(url);
      const listeners = () =>
        ['error', 'connection.blocked', 'connection.unblocked', 'connection', 'close'].map((event) =>
          client.listenerCount(event),
        );
      const before = listeners();
      const queues = upTo(8).map((n) => suite.open({ client, name: `${suite.name} ${n}` }));
      const holders = queues.map((queue) => new Holder(queue));
      await Promise.all(queues.map((queue) => queue.publish('key', { n: 1 }, { headers: { a: 'b' }, delay: 1 })));
      for (const holder of holders) {
        await received(holder, 1);
        expect(await holder.of(1).ack()).toBe(true);
      }
      expect(proxy.accepted).toBe(1);
      // Node warns of a leak beyond this number.
      for (const count of listeners()) expect(count).toBeLessThanOrEqual(client.getMaxListeners());
      await Promise.all(queues.map((queue) => queue.close()));
      expect(listeners()).toEqual(before);
      expect(client.ready).toBe(true);
      const channel = await client.acquire();
      expect(channel.id).toBe(1);
      await channel.close();
    });

    it('keep an unlimited number of listeners', async () => {
      const client = handed().setMaxListeners(0);
      const queue = suite.open({ client });
      await queue.publish('key', { n: 1 });
      expect(client.getMaxListeners()).toBe(0);
      await queue.close();
      expect(client.getMaxListeners()).toBe(0);
    });

    it('recover together with the queues that use them', async () => {
      const { proxy, url } = await suite.proxy();
      const queue = suite.open({ client: handed(url) });
      const holder = new Holder(queue);
      for (const n of upTo(4)) {
        await queue.publish('key', { n });
        await eventually(() => holder.numbers.includes(n));
        proxy.cut();
      }
      await eventually(() => holder.held.length === 4);
      expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true, true, true]);
    });

    it('are not affected by channel errors of the queue or of other code', async () => {
      const client = handed();
      const logger = recordingLogger();
      const queue = suite.open({ client, logger });
      const holder = new Holder(queue);
      await queue.publish('key', { n: 1 });
      await received(holder, 1);
      const other = await client.acquire();
      await failureOf(other.queueDeclare({ queue: 'none', passive: true }));
      await other.close();
      (await client.acquire()).basicAck({ deliveryTag: 5 });
      await queue.stats();
      expect(await holder.of(1).ack()).toBe(true);
      expect(logger.warnings).toEqual([]);
    });

    it('may be closed by their owner: the queue rejects publishes and closes soon', async () => {
      const client = handed();
      const queue = suite.open({ client, publishTimeout: 3000 });
      const holder = new Holder(queue);
      await queue.publish('key', { n: 1 });
      await received(holder, 1);
      client.unsafeDestroy();
      expect(await failureOf(queue.publish('key', { n: 2 }))).toMatchObject({ retryable: true });
      expect(await holder.of(1).ack()).toBe(false);
      await queue.close();
    });
  });

  it('leave delays to the broker, so that they survive a publisher, a consumer and a restart', async () => {
    const queue = suite.open({ groups: ['a', 'b'] });
    const holder = new Holder(queue, { group: 'a' });
    await queue.publish('key', { n: 1 });
    await received(holder, 1);
    const before = performance.now();
    await queue.publish('key', { n: 2 }, { delay: 2500 });
    expect(await holder.of(1).nack({ delay: 3000 })).toBe(true);
    await queue.close();
    await suite.server.restart();
    const again = suite.open({ groups: ['a', 'b'] });
    const holders = [new Holder(again, { group: 'a' }), new Holder(again, { group: 'b' })] as const;
    await eventually(() => holders.every(({ deliveries }) => deliveries.length === 2));
    expect(performance.now() - before).toBeGreaterThanOrEqual(2999);
    expect(new Map(holders[0].attempts).get(1)).toBe(2);
    expect(holders[1].attempts.map(([n]) => n)).toEqual([1, 2]);
    for (const delivery of holders.flatMap(({ held }) => held)) expect(await delivery.ack()).toBe(true);
    await eventually(async () => (await again.stats()).unfinished === 0);
  });
});

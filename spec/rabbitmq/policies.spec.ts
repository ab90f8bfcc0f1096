import { Holder, numberOf, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { recordingLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('A RabbitMQ policy', () => {
  retryOnce();
  const suite = new RabbitMqSuite({ advanced: { dead_letter_worker_publisher_confirm_timeout: '1000' } });

  /** Sets a policy before the queues are declared, so that it applies from the first message on. */
  const setPolicy = async (pattern: string, definition: object, kind: 'policy' | 'operator_policy' = 'policy') => {
    await suite.server.run(`set_${kind}`, suite.name, pattern, JSON.stringify(definition), '--apply-to', 'queues');
    suite.ending(() => suite.server.run(`clear_${kind}`, suite.name));
  };
  // Patterns for the queues of groups, and for everything that the queue stores on the broker.
  const groups = () => `^${suite.name}:group:`;
  const everything = () => `^${suite.name}`;

  const quarantined = async (count: number) => {
    await eventually(async () => (await suite.length(suite.names.quarantine)) === count);
    const stored = await suite.take(suite.names.quarantine);
    const numbers = stored.map(({ body }) => JSON.parse(String(body)).n as number);
    return {
      numbers: numbers.toSorted((one, other) => one - other),
      reasons: new Set(stored.map(({ headers }) => headers['x-first-death-reason'])),
    };
  };

  it('with a `max-length` rejects publishes and drops no confirmed message', async () => {
    await setPolicy(everything(), { 'max-length': 5 });
    const queue = suite.open();
    const confirmed: number[] = [];
    const failures: unknown[] = [];
    for (const n of upTo(20))
      await queue.publish('key', { n }).then(
        () => confirmed.push(n),
        (error: unknown) => failures.push(error),
      );
    expect(confirmed.length).toBeGreaterThanOrEqual(5);
    expect(failures.length).toBeGreaterThan(0);
    for (const failure of failures)
      expect(failure).toMatchObject({ retryable: true, message: expect.stringContaining('a queue is full') });
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    // A refused message may be stored, too.
    await eventually(
      () => confirmed.every((n) => holder.numbers.includes(n)),
      () => [confirmed, holder.numbers],
    );
    await queue.publish('key', { n: 21 });
    await eventually(() => holder.numbers.includes(21));
  }, 60_000);

  it('with a `max-length` drops no message that becomes due while the queue is full', async () => {
    await setPolicy(groups(), { 'max-length': 3 }, 'operator_policy');
    const queue = suite.open();
    for (const n of upTo(10)) await queue.publish('key', { n }, { delay: 300 });
    await eventually(async () => ((await suite.length(suite.names.group('default').queue)) ?? 0) >= 3);
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await eventually(
      () => holder.deliveries.length >= 10,
      () => holder.numbers,
    );
    expect(new Set(holder.numbers)).toEqual(new Set(upTo(10)));
  });

  it('with a `message-ttl` quarantines expired messages', async () => {
    await setPolicy(`${groups()}[^:]+$`, { 'message-ttl': 100 });
    const queue = suite.open();
    for (const n of upTo(10)) await queue.publish('key', { n });
    expect(await quarantined(10)).toEqual({ numbers: upTo(10), reasons: new Set(['expired']) });
  });

  it('with a `message-ttl` quarantines expired messages that were nacked with a delay', async () => {
    await setPolicy(`${groups()}.*:again$`, { 'message-ttl': 100 }, 'operator_policy');
    const queue = suite.open();
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await eventually(() => holder.held.length === 1);
    await holder.of(1).nack({ delay: 200 });
    holder.subscription.unsubscribe();
    expect(await quarantined(1)).toMatchObject({ numbers: [1] });
  });

  it.each(['policy', 'operator_policy'] as const)(
    '(%s) with a `delivery-limit` quarantines messages that exceed the limit',
    async (kind) => {
      await setPolicy(groups(), { 'delivery-limit': 2 }, kind);
      const queue = suite.open();
      const times = new Map<number, number>();
      new Holder(queue, {}, (delivery) => {
        const n = numberOf(delivery.payload);
        times.set(n, (times.get(n) ?? 0) + 1);
        void delivery.nack();
      });
      for (const n of upTo(3)) await queue.publish('key', { n });
      expect(await quarantined(3)).toEqual({ numbers: upTo(3), reasons: new Set(['delivery_limit']) });
      expect([...times.values()]).toEqual([3, 3, 3]);
    },
  );

  it('with a `delivery-limit` counts releases only before 4.3', async () => {
    await setPolicy(groups(), { 'delivery-limit': 2 });
    const queue = suite.open();
    const holder = new Holder(
      queue,
      {},
      (delivery) => void (holder.deliveries.length < 6 ? delivery.release() : delivery.ack()),
    );
    await queue.publish('key', { n: 1 });
    if (await suite.server.isAtLeast(4, 3)) {
      await eventually(() => holder.deliveries.length === 6);
      await eventually(async () => (await queue.stats()).unfinished === 0);
      expect(await suite.length(suite.names.quarantine)).toBe(0);
    } else {
      expect(await quarantined(1)).toEqual({ numbers: [1], reasons: new Set(['delivery_limit']) });
      expect(holder.deliveries).toHaveLength(3);
    }
  });

  describe('on a queue that an older version has declared', () => {
    const older = { 'x-queue-type': 'quorum', 'x-delivery-limit': 2 ** 31 - 1 } as const;

    it('may drop messages: the queue is used as it is, with one warning', async () => {
      const channel = await suite.channel();
      const { queue: group, again } = suite.names.group('default');
      for (const queue of [group, again, suite.names.quarantine])
        await channel.queueDeclare({ queue, durable: true, arguments: older });
      const { proxy, url } = await suite.proxy();
      const logger = recordingLogger();
      const queue = suite.open({ url, logger });
      const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
      await queue.publish('key', { n: 1 });
      await suite.add({}, 'odd');
      await eventually(() => holder.deliveries.length === 1);
      await eventually(async () => (await suite.length(suite.names.quarantine)) === 1);
      const said = () => logger.warnings.filter((warning) => warning.includes('older version'));
      expect(said()).toHaveLength(3);
      for (const name of [group, again, suite.names.quarantine])
        expect(said().filter((warning) => warning.includes(`"${name}"`))).toHaveLength(1);
      proxy.cut();
      await queue.publish('key', { n: 2 });
      await eventually(() => holder.deliveries.length === 2);
      expect(said()).toHaveLength(3);
    });

    it('does not affect delays', async () => {
      const channel = await suite.channel();
      const { again, delay } = suite.names.group('default');
      const [exchange, queue] = [`${delay}:0`, `${delay}:0`];
      // The queue dead-letters through the default exchange.
      const to = {
        'x-dead-letter-exchange': '',
        'x-dead-letter-routing-key': again,
        'x-dead-letter-strategy': 'at-least-once',
      };
      await channel.queueDeclare({
        queue,
        durable: true,
        arguments: { ...older, 'x-overflow': 'reject-publish', 'x-message-ttl': 16, ...to },
      });
      await channel.exchangeDeclare({ exchange, type: 'topic', durable: true });
      await channel.queueBind({ exchange, queue, routingKey: '#.1' });
      const logger = recordingLogger();
      const backend = suite.open({ logger });
      const holder = new Holder(backend);
      await backend.publish('key', { n: 1 });
      await eventually(() => holder.deliveries.length === 1);
      for (const [length, delay] of [[2, 1] as const, [3, 20] as const]) {
        expect(await holder.of(1).nack({ delay })).toBe(true);
        await eventually(() => holder.deliveries.length === length);
      }
      expect(await holder.of(1).ack()).toBe(true);
      await eventually(async () => (await backend.stats()).unfinished === 0);
      expect([holder.attempts, logger.warnings]).toEqual([[1, 2, 3].map((attempt) => [1, attempt]), []]);
    });
  });
});

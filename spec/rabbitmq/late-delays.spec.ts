import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import { levelsFor } from '../../src/rabbitmq/delays.js';
import { levelName } from '../../src/rabbitmq/names.js';
import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/**
 * The interval after which the broker retries a refused message, in milliseconds: much longer than
 * other latencies, but shorter than the default.
 */
const AGAIN = 4000;

describeWithRabbitMq('Delayed messages on RabbitMQ that arrive late', () => {
  retryOnce();
  const suite = new RabbitMqSuite({ advanced: { dead_letter_worker_publisher_confirm_timeout: String(AGAIN) } });

  const numbers = upTo(10).map((n) => n + 100);
  const publishDelayed = (queue: QueueBackend, delay: number) =>
    Promise.all(numbers.map((n) => queue.publish('key', { n }, { delay })));

  /**
   * Waits until `stats()` report no unfinished message, and returns the numbers that the consumer
   * has received by then.
   */
  const doneOf = async (queue: QueueBackend, holder: Holder, group?: string) => {
    await eventually(async () => (await queue.stats({ group }).catch(() => undefined))?.unfinished === 0);
    return new Set(holder.numbers.filter((n) => n > 100));
  };

  /** Limits the queue of a group with a policy and publishes until it is full. */
  const fill = async (queue: QueueBackend, full: string) => {
    await suite.server.run('set_policy', suite.name, `^${full}$`, '{"max-length":3}', '--apply-to', 'queues');
    suite.ending(() => suite.server.run('clear_policy', suite.name));
    let isFull = false;
    for (let n = 1; !isFull; n++) await queue.publish('key', { n }).catch(() => (isFull = true));
  };

  /** Waits until the delayed messages have left the queues of their delay. */
  const refused = async (delay: number) => {
    await sleep(delay + 50);
    const delays = upTo(levelsFor(delay)).map((level) => levelName(suite.names.delay, level - 1));
    await eventually(async () =>
      (await Promise.all(delays.map((name) => suite.length(name)))).every((length) => length === 0),
    );
  };

  it('are unfinished until they arrive, if the queue of a group was full', async () => {
    const groups = ['a', 'b'];
    const full = suite.names.group('b').queue;
    const queue = suite.open({ groups });
    await fill(queue, full);
    const other = new Holder(suite.open({ groups }), { group: 'a' }, (delivery) => void delivery.ack());
    await publishDelayed(queue, 200);
    // The messages have arrived in one group and were refused by the other.
    await eventually(() => numbers.every((n) => other.numbers.includes(n)));
    expect(await suite.length(full)).toBeLessThan(10);
    const holder = new Holder(suite.open({ groups }), { group: 'b' }, (delivery) => void delivery.ack());
    expect(await doneOf(queue, holder, 'b')).toEqual(new Set(numbers));
  });

  it('are unfinished in addition to waiting messages while the queue is full', async () => {
    const { queue: full } = suite.names.group('default');
    const queue = suite.open();
    await fill(queue, full);
    const waiting = (await suite.length(full)) ?? 0;
    expect(waiting).toBeGreaterThan(0);
    await publishDelayed(queue, 200);
    await refused(200);
    const total = waiting + numbers.length;
    await eventually(async () => (await queue.stats()).unfinished === total);
    expect((await queue.stats()).ready).toBe(waiting);
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    expect(await doneOf(queue, holder)).toEqual(new Set(numbers));
    expect(new Set(holder.numbers).size).toBe(total);
  });

  it('are unfinished until they arrive, if the broker was killed', async () => {
    const queue = suite.open();
    const holder = new Holder(queue, {}, (delivery) => void delivery.ack());
    await queue.publish('key', { n: 1 });
    await publishDelayed(queue, 1500);
    await suite.server.saveQueues();
    await suite.server.kill();
    await suite.server.start();
    expect(await doneOf(queue, holder)).toEqual(new Set(numbers));
  });

  it('are unfinished after a lost connection, even for a backend that published none of them', async () => {
    const { queue: full } = suite.names.group('default');
    const [sender, queue] = [suite.open(), suite.open()];
    await queue.stats();
    // The same server by another name: these backends count as another process.
    const other = suite.open({ url: suite.url.replace('127.0.0.1', 'localhost') });
    const holder = new Holder(other, { prefetch: 1 });
    await fill(other, full);
    await eventually(() => holder.numbers.length === 1);
    await publishDelayed(sender, 200);
    await sender.close();
    await refused(200);
    // Without a failure, late messages are assumed to be with the other consumer.
    await eventually(async () => (await queue.stats()).unfinished < numbers.length);
    await suite.server.run('close_all_connections', 'as the test wants it');
    const stats = () => queue.stats().catch(() => undefined);
    await eventually(async () => (await stats()) !== undefined);
    const { ready = 0, unfinished = 0 } = (await stats()) ?? {};
    // While the broker retries, it may count one of them too.
    expect(unfinished - ready).toBeGreaterThanOrEqual(numbers.length);
  });
});

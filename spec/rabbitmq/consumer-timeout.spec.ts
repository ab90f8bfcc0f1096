import { setTimeout as sleep } from 'node:timers/promises';
import { AsyncLoopConsumer } from 'sluice';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/** In milliseconds, after which the broker requeues the messages in flight of a consumer. */
const TIMEOUT = 6000;

// Twelve of these take longer than TIMEOUT, two do not.
const HANDLER = 800;

describeWithRabbitMq('A consumer on a broker with a consumer_timeout', () => {
  const suite = new RabbitMqSuite({ advanced: { channel_tick_interval: '100', consumer_timeout: String(TIMEOUT) } });

  it('runs each message once, because by default it prefetches only what its handlers start soon', async () => {
    const queue = suite.open();
    const consumer = new AsyncLoopConsumer(queue, { logger: silentLogger });
    const attempts: number[] = [];
    await Promise.all(upTo(12).map((n) => queue.publish('key', { n })));
    const running = consumer.run(async (_payload, { attempt }) => {
      attempts.push(attempt);
      await sleep(HANDLER);
    });
    await eventually(async () => (await queue.stats()).unfinished === 0);
    await consumer.shutdown();
    await running;
    expect(attempts).toEqual(upTo(12).map(() => 1));
  });
});

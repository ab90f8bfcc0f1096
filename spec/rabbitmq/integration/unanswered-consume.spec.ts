import { AsyncLoopConsumer } from 'sluice';
import { Stage } from '../../integration/stage.js';
import { AmqpProxy } from '../../support/servers/amqp-proxy.js';
import { describeWithRabbitMq } from '../../support/servers/describe-with.js';
import { Tally } from '../../support/tally.js';
import { broker as rabbitMq } from './broker.js';

/**
 * Number of replies that pass before all others are swallowed, and number of swallowed replies
 * before the consumer is stopped.
 */
const CASES: readonly (readonly [passes: number, swallowed: number])[] = [
  [0, 1],
  [1, 1],
  [0, 2],
];

describeWithRabbitMq('A consumer whose basic.consume the broker never answers', () => {
  const stage = new Stage(rabbitMq);

  /** Makes a queue with one message behind a proxy that swallows the replies. */
  const begin = async (passes: number) => {
    const proxy = await AmqpProxy.start(stage.server.port);
    stage.ending(() => proxy.stop());
    const url = new URL(stage.url);
    url.port = String(await proxy.port());
    const direct = stage.open();
    await direct.queue.publish('key', { id: 0 });
    proxy.swallowAll('basic.consume-ok', passes);
    return { proxy, direct, ...stage.open({ url: url.href }) };
  };

  it.each(CASES)(
    'exits on SIGTERM and leaves the message to another consumer (%d answered, %d not)',
    async (passes, swallowed) => {
      const tally = new Tally();
      const { proxy, direct, settings } = await begin(passes);
      const consumer = await stage.consumer({ ...settings, work: 'until-told' }, tally);
      await stage.until(() => proxy.swallowed >= swallowed);
      expect(await consumer.terminate()).toBe(0);

      const other = await stage.consumer({ ...direct.settings, work: 0 }, tally);
      await stage.until(() => other.settled.get(0) === true);
    },
  );

  it.each(CASES)('resolves shutdown(), close() and run() (%d answered, %d not)', async (passes, swallowed) => {
    const { proxy, direct, queue } = await begin(passes);
    const handled: unknown[] = [];
    const consumer = new AsyncLoopConsumer(queue);
    const ended = consumer.run((payload) => void handled.push(payload));
    await stage.until(() => proxy.swallowed >= swallowed);
    await consumer.shutdown();
    await ended;
    await queue.close();
    // The message is either still ready or handled.
    await stage.until(async () => (await direct.queue.stats()).ready === 1 - handled.length);
  });
});

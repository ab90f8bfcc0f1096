import type { Delivery } from 'sluice';
import { Credit, withCredit } from '../../src/bridge/credit.js';
import { GroupChannel } from '../../src/rabbitmq/group-channel.js';
import { Prefetch } from '../../src/rabbitmq/prefetch.js';
import { upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

const SMALL = 2;
const LARGE = 256;

describeWithRabbitMq('A prefetch that shrinks just after it has grown', () => {
  retryOnce();
  const suite = new RabbitMqSuite();

  afterEach(() => jest.restoreAllMocks());

  /**
   * Makes a subscriber with two messages in flight that asks for the smaller prefetch as soon as it
   * has the larger one.
   */
  const begin = async () => {
    const { proxy, url } = await suite.proxy();
    const queue = suite.open({ url });
    const consume = jest.spyOn(GroupChannel.prototype, 'consume');
    const consumed = () => consume.mock.calls.map(([, prefetch]) => prefetch);
    const end = jest.spyOn(Prefetch.prototype, 'end');
    const credit = new Credit(SMALL);
    const held: Delivery[] = [];
    const subscription = withCredit(queue.deliveries(), credit)?.subscribe((delivery) => void held.push(delivery));
    await Promise.all(upTo(SMALL).map((n) => queue.publish('key', { n })));
    await eventually(() => held.length === SMALL);
    credit.allow(LARGE);
    await eventually(() => consumed().includes(LARGE));
    credit.allow(SMALL);
    return { proxy, queue, subscription, consumed, end };
  };

  it('is applied although no message arrives meanwhile', async () => {
    const { consumed } = await begin();
    await eventually(() => consumed().at(-1) === SMALL, consumed);
  });

  it.each(['its subscriber leaves', 'the queue is closed', 'the connection is lost'])(
    'is not applied if %s',
    async (how) => {
      const { proxy, queue, subscription, end } = await begin();
      expect(end).not.toHaveBeenCalled();
      if (how === 'its subscriber leaves') subscription?.unsubscribe();
      else if (how === 'the queue is closed') await queue.close();
      else proxy.cut();
      await eventually(() => end.mock.calls.length > 0);
    },
  );
});

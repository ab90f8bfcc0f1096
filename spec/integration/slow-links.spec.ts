import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

/** In milliseconds. The response timeout is a third of it. */
const LEASE = 6000;

// Longer than any operation takes.
const PUBLISH_TIMEOUT = 90_000;

/** Bytes per second. A message takes almost twice as long as the response timeout. */
const SPEED = 260_000;

const TEXT = 'x'.repeat(1_000_000);

const COUNT = 3;

/** Cases of a link on which a message takes longer than the response timeout. */
function slowLinks<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  /** Opens a queue behind a slow link. */
  const openSlowly = async () => {
    const { proxy, url } = await stage.proxy();
    proxy.throttle(SPEED);
    return { proxy, slow: stage.open({ url, lease: LEASE, publishTimeout: PUBLISH_TIMEOUT }).queue };
  };

  const open = () => stage.open({ lease: LEASE }).queue;

  const publishLarge = (queue: ReturnType<typeof open>) =>
    Promise.all(upTo(COUNT).map((n) => queue.publish('key', { n, text: TEXT })));

  // Every message is delivered once, in order.
  const once = upTo(COUNT).map((n) => [n, 1]);

  it('transports large messages of a publisher once', async () => {
    const { slow } = await openSlowly();
    const queue = open();
    const holder = new Holder(queue);
    await publishLarge(slow);
    await eventually(() => holder.deliveries.length >= COUNT);
    expect(holder.attempts).toEqual(once);
    expect(await queue.stats()).toMatchObject({ unfinished: COUNT });
  });

  it('transports large messages to a consumer once, and their acks back', async () => {
    const { slow } = await openSlowly();
    const queue = open();
    await publishLarge(queue);
    const acks: Promise<boolean>[] = [];
    const holder = new Holder(slow, {}, (delivery) => acks.push(delivery.ack()));
    await eventually(
      () => holder.deliveries.length >= COUNT,
      () => holder.attempts,
    );
    expect(await Promise.all(acks)).toEqual(upTo(COUNT).map(() => true));
    expect(holder.attempts).toEqual(once);
    await eventually(async () => (await queue.stats()).unfinished === 0);
  });

  it.each([
    // The queue is closed before they are confirmed.
    ['a publisher', (slow: ReturnType<typeof open>) => void publishLarge(slow).catch(() => {})],
    ['a consumer', (slow: ReturnType<typeof open>) => void new Holder(slow)],
  ])('is still recognized as dead with %s', async (_who, use) => {
    const { proxy, slow } = await openSlowly();
    await publishLarge(open());
    await slow.stats();
    use(slow);
    await halfOfAMessage(proxy);
    const before = proxy.accepted;
    proxy.stall();
    await eventually(() => proxy.accepted > before);
  });
}

/** Waits until half of a message has been transferred. */
async function halfOfAMessage(proxy: TcpProxy): Promise<void> {
  const sum = () => proxy.bytes['to-client'] + proxy.bytes['to-target'];
  const before = sum();
  await eventually(() => sum() > before + TEXT.length / 2);
}

describeWithEveryEngine('A slow link to %s', slowLinks);

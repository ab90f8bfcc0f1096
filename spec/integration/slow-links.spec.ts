import { Holder, upTo } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import type { TcpProxy } from '../support/servers/tcp-proxy.js';
import type { Broker, FaultyServer } from './broker.js';
import { describeWithEveryEngine } from './every-engine.js';
import { Stage } from './stage.js';

/** In milliseconds. A server has a third of it to answer. */
const LEASE = 6000;

/** Longer than anything takes. */
const PUBLISH_TIMEOUT = 90_000;

/** Bytes in a second: a message takes almost twice as long as a server has to answer. */
const SPEED = 260_000;

const TEXT = 'x'.repeat(1_000_000);

const COUNT = 3;

/** A link on which a message takes longer than an answer may. */
function slowLinks<Server extends FaultyServer>(broker: Broker<Server>): void {
  const stage = new Stage(broker);

  /** A queue behind a slow link. */
  const openSlowly = async () => {
    const { proxy, url } = await stage.proxy();
    proxy.throttle(SPEED);
    return { proxy, slow: stage.open({ url, lease: LEASE, publishTimeout: PUBLISH_TIMEOUT }).queue };
  };

  const open = () => stage.open({ lease: LEASE }).queue;

  const publishLarge = (queue: ReturnType<typeof open>) =>
    Promise.all(upTo(COUNT).map((n) => queue.publish('key', { n, text: TEXT })));

  /** Every message was delivered once, in order. */
  const once = upTo(COUNT).map((n) => [n, 1]);

  it('takes large messages from a publisher, each once', async () => {
    const { slow } = await openSlowly();
    const queue = open();
    const holder = new Holder(queue);
    await publishLarge(slow);
    await eventually(() => holder.deliveries.length >= COUNT);
    expect(holder.attempts).toEqual(once);
    expect(await queue.stats()).toMatchObject({ unfinished: COUNT });
  });

  it('brings large messages to a consumer, each once, and their acks back', async () => {
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
  ])('is still noticed to be dead, under %s', async (_who, use) => {
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

/** Waits until a good deal of a message has come through. */
async function halfOfAMessage(proxy: TcpProxy): Promise<void> {
  const sum = () => proxy.bytes['to-client'] + proxy.bytes['to-target'];
  const before = sum();
  await eventually(() => sum() > before + TEXT.length / 2);
}

describeWithEveryEngine('A slow link to %s', slowLinks);

import type { Channel, Incoming } from '../../src/rabbitmq/client.js';
import { GroupChannel } from '../../src/rabbitmq/group-channel.js';
import type { RabbitLink } from '../../src/rabbitmq/link.js';
import { fakeTime, pass } from '../core/fakes.js';

/** In milliseconds. Longer than the interval of checks and the checks themselves. */
const A_WHILE = 7000;

/** Advances the time in small steps, so that promises settle in between. */
async function passSlowly(milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 50) await pass(50);
}

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

/** A consuming channel, and a function that delivers a message on it. */
function fakeChannel(methods: object) {
  let deliver: (message: Incoming) => void = () => {};
  const channel = {
    active: true,
    on: () => undefined,
    basicQos: async () => undefined,
    basicConsume: async (_: unknown, onMessage: (message: Incoming) => void) => {
      deliver = onMessage;
    },
    basicAck: () => undefined,
    ...methods,
  } as unknown as Channel;
  return { channel, deliver: (tag: number) => deliver({ deliveryTag: tag } as Incoming) };
}

/** Opens a channel with a consumer. In check n, the broker reports `waiting(n)` messages. */
async function open({ waiting, consumers = 2 }: { waiting: (look: number) => number; consumers?: number }) {
  let looks = 0;
  const { channel, deliver } = fakeChannel({
    queueDeclare: async () => ({ consumerCount: consumers, messageCount: waiting(looks++) }),
  });
  const link = { openChannel: async () => channel, wasBlocked: false } as unknown as RabbitLink;
  const alarms: unknown[] = [];
  const consumer = await GroupChannel.open(link, {
    onCancelled: (error) => alarms.push(error),
    onUnconfirmed: () => undefined,
  });
  await consumer.consume('orders', 2, () => undefined);
  // The first interval includes the start.
  await passSlowly(5000);
  return { alarms, consumer, deliver, end: () => consumer.abandon() };
}

describe('A channel that receives no messages although it has credit', () => {
  it('reports a queue that has messages at each check', async () => {
    const { alarms, end } = await open({ waiting: () => 3 });
    await passSlowly(A_WHILE);
    expect(alarms).toEqual([
      expect.objectContaining({ message: 'Queue "orders" has 2 consumers and 3 messages, and delivers none here' }),
    ]);
    end();
  });

  it('reports a queue that knows no consumer', async () => {
    const { alarms, end } = await open({ waiting: () => 0, consumers: 0 });
    await passSlowly(A_WHILE);
    expect(alarms).toHaveLength(1);
    end();
  });

  it.each([0, 1, 2, 3, 4])('does not report messages that others receive: none left in check %d', async (gone) => {
    const { alarms, end } = await open({ waiting: (look) => (look % 5 === gone % 5 ? 0 : 1) });
    await passSlowly(A_WHILE);
    expect(alarms).toEqual([]);
    end();
  });

  it('does not report a queue if it was full until just now', async () => {
    const { alarms, consumer, deliver, end } = await open({ waiting: () => 3 });
    for (const tag of [1, 2]) deliver(tag);
    await passSlowly(9900);
    void consumer.settle({ tag: 1 }, 'ack');
    await passSlowly(1500);
    expect(alarms).toEqual([]);
    end();
  });

  it('does not report a queue if a message arrives between checks', async () => {
    const { alarms, deliver, end } = await open({ waiting: () => 3 });
    await passSlowly(5300);
    deliver(1);
    await passSlowly(2000);
    expect(alarms).toEqual([]);
    end();
  });
});

describe('A channel whose consumers are cancelled', () => {
  /** Opens a channel whose cancellations are confirmed when the test says so. */
  async function openCancellable() {
    const cancelled: (() => void)[] = [];
    let closed: (cause: unknown) => void = () => {};
    const { channel, deliver } = fakeChannel({
      basicCancel: () => new Promise<void>((resolve) => cancelled.push(resolve)),
      close: async () => closed('closed'),
    });
    const openChannel = async (onClosed: (cause: unknown) => void) => {
      closed = onClosed;
      return channel;
    };
    const link = { openChannel, wasBlocked: false } as unknown as RabbitLink;
    const consumer = await GroupChannel.open(link, { onCancelled: () => undefined, onUnconfirmed: () => undefined });
    await consumer.consume('orders', 2, () => undefined);
    return { consumer, cancelled, deliver };
  }

  it('finishes once each cancellation is confirmed, including that of an earlier pause', async () => {
    const { consumer, cancelled } = await openCancellable();
    const ended: string[] = [];
    void consumer.pause().then(() => ended.push('pause'));
    await passSlowly(500);
    void consumer.cancel().then(() => ended.push('cancel'));
    await passSlowly(1000);
    expect([cancelled.length, ended]).toEqual([1, []]);
    cancelled[0]?.();
    await passSlowly(1000);
    expect(ended).toEqual(['pause', 'cancel']);
    await consumer.close();
  });

  it.each([
    ['names the queue if messages were in flight, because they may have timed out', [1], 'orders'],
    ['names no queue if none were in flight', [], undefined],
  ] as const)('by the broker %s', async (_what, tags, expected) => {
    let cancel: (consumerTag: string, error: unknown) => void = () => {};
    let consumerTag = '';
    let deliver: (message: Incoming) => void = () => {};
    const { channel } = fakeChannel({
      on: (event: string, listener: typeof cancel) => {
        if (event === 'basic.cancel') cancel = listener;
      },
      basicConsume: async (options: { consumerTag: string }, onMessage: typeof deliver) => {
        consumerTag = options.consumerTag;
        deliver = onMessage;
      },
    });
    const link = { openChannel: async () => channel, wasBlocked: false } as unknown as RabbitLink;
    const queues: unknown[] = [];
    const consumer = await GroupChannel.open(link, {
      onCancelled: (_, queue) => queues.push(queue),
      onUnconfirmed: () => undefined,
    });
    await consumer.consume('orders', 2, () => undefined);
    for (const tag of tags) deliver({ deliveryTag: tag } as Incoming);
    cancel(consumerTag, new Error('cancelled by server'));
    expect(queues).toEqual([expected]);
    consumer.abandon();
  });

  it('counts consumers like the broker, until their messages are settled', async () => {
    const { consumer, cancelled, deliver } = await openCancellable();
    const counts: number[] = [];
    const count = () => counts.push(consumer.countConsumers('orders'));
    deliver(1);
    count();
    void consumer.pause();
    await passSlowly(500);
    cancelled[0]?.();
    count();
    await consumer.consume('orders', 4, () => undefined);
    count();
    void consumer.settle({ tag: 1 }, 'ack');
    await passSlowly(500);
    count();
    expect(counts).toEqual([1, 1, 2, 1]);
    expect(consumer.countConsumers('invoices')).toBe(0);
    await consumer.close();
  });

  it('counts consumers until the broker has confirmed each cancellation, even without messages', async () => {
    const { consumer, cancelled } = await openCancellable();
    void consumer.pause();
    const counts = [consumer.countConsumers('orders')];
    await passSlowly(500);
    expect(cancelled).toHaveLength(1);
    counts.push(consumer.countConsumers('orders'));
    await consumer.consume('orders', 4, () => undefined);
    counts.push(consumer.countConsumers('orders'));
    cancelled[0]?.();
    await passSlowly(500);
    counts.push(consumer.countConsumers('orders'));
    expect(counts).toEqual([1, 1, 2, 1]);
    await consumer.close();
  });

  it('settles held acks before it closes', async () => {
    const { consumer } = await openCancellable();
    consumer.hold();
    const ended: unknown[] = [];
    void consumer.settle({ tag: 1 }, 'ack').then((counted) => ended.push(counted));
    void consumer.close().then(() => ended.push('closed'));
    await passSlowly(1000);
    expect(ended).toEqual([true, 'closed']);
  });
});

import type { Channel, Incoming } from '../../src/rabbitmq/client.js';
import { GroupChannel } from '../../src/rabbitmq/group-channel.js';
import type { RabbitLink } from '../../src/rabbitmq/link.js';
import { fakeTime, pass } from '../core/fakes.js';

/** More than the time after which a channel looks, and what its looks take, in milliseconds. */
const A_WHILE = 7000;

/** Lets time pass in small steps: what a look has to wait for beside the time has come by the next one. */
async function passSlowly(milliseconds: number): Promise<void> {
  for (let passed = 0; passed < milliseconds; passed += 50) await pass(50);
}

beforeEach(fakeTime);

afterEach(() => jest.useRealTimers());

/** A channel that consumes, and what delivers over it. */
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

/** A channel on a broker that says how many messages wait and how many consumers it has, and a consumer of it. */
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
  // The first interval had the start in it.
  await passSlowly(5000);
  return { alarms, consumer, deliver, end: () => consumer.abandon() };
}

describe('A channel that gets nothing though there is room', () => {
  it('tells of a queue that has messages each time that it is looked at', async () => {
    const { alarms, end } = await open({ waiting: () => 3 });
    await passSlowly(A_WHILE);
    expect(alarms).toEqual([
      expect.objectContaining({ message: 'Queue "orders" has 2 consumers and 3 messages, and delivers none here' }),
    ]);
    end();
  });

  it('tells of a queue that knows no consumer', async () => {
    const { alarms, end } = await open({ waiting: () => 0, consumers: 0 });
    await passSlowly(A_WHILE);
    expect(alarms).toHaveLength(1);
    end();
  });

  it.each([0, 1, 2, 3, 4])(
    'says nothing of messages that are on their way to others, and gone in look %d',
    async (gone) => {
      const { alarms, end } = await open({ waiting: (look) => (look % 5 === gone % 5 ? 0 : 1) });
      await passSlowly(A_WHILE);
      expect(alarms).toEqual([]);
      end();
    },
  );

  it('says nothing where it was full until just now, and the broker may not know of the room yet', async () => {
    const { alarms, consumer, deliver, end } = await open({ waiting: () => 3 });
    for (const tag of [1, 2]) deliver(tag);
    await passSlowly(9900);
    void consumer.settle({ tag: 1 }, 'ack');
    await passSlowly(1500);
    expect(alarms).toEqual([]);
    end();
  });

  it('says nothing where something comes between its looks', async () => {
    const { alarms, deliver, end } = await open({ waiting: () => 3 });
    await passSlowly(5300);
    deliver(1);
    await passSlowly(2000);
    expect(alarms).toEqual([]);
    end();
  });
});

describe('A channel whose consumers are cancelled', () => {
  /** A channel whose cancellations are answered when the test says so. */
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

  it('says that nothing more comes when each cancellation is answered, also one of a pause before', async () => {
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
    ['names the queue of one that had a message in flight: that may have timed out', [1], 'orders'],
    ['names no queue of one that had none', [], undefined],
  ] as const)('by the broker, %s', async (_what, tags, expected) => {
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

  it('counts them like the broker, until what they got is settled', async () => {
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

  it('counts them until the broker has answered each cancellation, also with nothing to settle', async () => {
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

  it('settles what was held before it closes', async () => {
    const { consumer } = await openCancellable();
    consumer.hold();
    const ended: unknown[] = [];
    void consumer.settle({ tag: 1 }, 'ack').then((counted) => ended.push(counted));
    void consumer.close().then(() => ended.push('closed'));
    await passSlowly(1000);
    expect(ended).toEqual([true, 'closed']);
  });
});

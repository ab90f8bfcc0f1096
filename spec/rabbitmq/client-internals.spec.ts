import { once } from 'node:events';
import type { Channel } from '../../src/rabbitmq/client.js';
import {
  channelMaxOf,
  frameMaxOf,
  isConnecting,
  reject,
  socketOf,
  vhostOf,
} from '../../src/rabbitmq/client-internals.js';
import { eventually } from '../support/eventually.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

/** The default of the server. */
const FRAME_MAX = 131_072;

/**
 * If a test fails with a new version of rabbitmq-client, adapt `client-internals.ts` before you
 * widen the peer range.
 */
describeWithRabbitMq('Internals of rabbitmq-client', () => {
  const suite = new RabbitMqSuite();

  it('tell the limits that client and server have negotiated', async () => {
    const client = suite.client({ frameMax: 2 * FRAME_MAX, maxChannels: 7 });
    expect([frameMaxOf(client), vhostOf(client), isConnecting(client)]).toEqual([2 * FRAME_MAX, '/', true]);
    await once(client, 'connection');
    expect([frameMaxOf(client), channelMaxOf(client), isConnecting(client)]).toEqual([FRAME_MAX, 7, false]);
  });

  it('tell the bytes read on the current connection and can destroy its socket', async () => {
    const client = suite.client();
    await once(client, 'connection');
    const first = socketOf(client);
    const before = first?.bytesRead ?? 0;
    await (await client.acquire()).close();
    expect(before).toBeGreaterThan(0);
    expect(first?.bytesRead).toBeGreaterThan(before);
    const cause = new Error('given up');
    const failed = once(client, 'error');
    first?.destroy?.(cause);
    expect(await failed).toEqual([cause]);
    expect(isConnecting(client)).toBe(true);
    await once(client, 'connection');
    expect(socketOf(client)).not.toBe(first);
  });

  it('can cork the socket of the client', async () => {
    const client = suite.client();
    const channel = await client.acquire();
    const socket = socketOf(client) as { readonly writableLength: number } & ReturnType<typeof socketOf>;
    socket?.cork?.();
    const declared = channel.queueDeclare({ queue: suite.name, exclusive: true });
    await eventually(() => socket.writableLength > 0);
    socket?.uncork?.();
    await declared;
    expect(socket.writableLength).toBe(0);
    await channel.close();
  });

  it('read each frame in two steps: the start, then the content with the last byte', async () => {
    const client = suite.client();
    await once(client, 'connection');
    const socket = socketOf(client);
    const read = socket?.read as (size?: number) => unknown;
    const sizes: unknown[] = [];
    Object.assign(socket as object, {
      read(size?: number) {
        const bytes = read.call(socket, size);
        if (Buffer.isBuffer(bytes)) sizes.push(bytes.length);
        return bytes;
      },
    });
    await (await client.acquire()).close();
    // channel.open-ok and channel.close-ok.
    expect(sizes).toEqual([7, 9, 7, 5]);
  });

  it('can reject a delivery', async () => {
    const channel = await suite.channel();
    const { queue } = await channel.queueDeclare({
      queue: suite.name,
      arguments: { 'x-queue-type': 'quorum' },
      durable: true,
    });
    await suite.add({ exchange: '', routingKey: queue }, 'text');
    const message = await channel.basicGet({ queue });
    const deliveryTag = message?.deliveryTag ?? 0;
    expect(reject(channel as unknown as Channel, { deliveryTag, requeue: true })).toBe(true);
    await eventually(async () => (await channel.basicGet({ queue, noAck: true }))?.redelivered === true);
    await channel.queueDelete(queue);
  });
});

/**
 * The limit: channels alone, and one quorum queue. No message has an id or a time, and a lost
 * connection is a lost message.
 */
import { Connection } from 'rabbitmq-client';
import { PREFETCH, QUEUE } from '../../contenders/names.mjs';

async function open(url) {
  const connection = new Connection({ url, noDelay: true });
  const channel = await connection.acquire();
  await channel.queueDeclare({ queue: QUEUE, durable: true, arguments: { 'x-queue-type': 'quorum' } });
  const close = async () => {
    await channel.close();
    await connection.close();
  };
  return { channel, close };
}

/** @param prepare is given the channel, and resolves to what sends a payload */
export async function openPublisher(url, prepare) {
  const { channel, close } = await open(url);
  await channel.confirmSelect();
  return {
    publish: await prepare(channel),
    unfinished: async () => (await channel.queueDeclare({ queue: QUEUE, passive: true })).messageCount,
    close,
  };
}

export function publisher(url) {
  return openPublisher(
    url,
    async (channel) => (payload) => channel.basicPublish({ routingKey: QUEUE, durable: true }, payload),
  );
}

export async function consumer(url) {
  const { channel, close } = await open(url);
  await channel.basicQos({ prefetchCount: PREFETCH });
  return {
    start(take, acked) {
      void channel.basicConsume({ queue: QUEUE }, ({ body, deliveryTag }) => {
        take(body.n);
        channel.basicAck({ deliveryTag });
        acked(1);
      });
    },
    /**
     * A quorum queue is told of only 32 acknowledgements at a time; what it has not been told when
     * the channel closes is lost. A consumer it does answer for.
     */
    async flush() {
      const { consumerTag } = await channel.basicConsume({ queue: QUEUE }, () => {});
      await channel.basicCancel({ consumerTag });
    },
    close,
  };
}

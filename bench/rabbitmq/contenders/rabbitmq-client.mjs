/**
 * The limit: channels and one quorum queue. Messages have no id and no time. A lost connection
 * loses messages.
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

/** @param prepare receives the channel and resolves to a function that sends a payload */
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
     * A quorum queue receives acknowledgements in groups of 32. The rest is lost if the channel
     * closes first. The broker answers a new consumer only after it has processed all.
     */
    async flush() {
      const { consumerTag } = await channel.basicConsume({ queue: QUEUE }, () => {});
      await channel.basicCancel({ consumerTag });
    },
    close,
  };
}

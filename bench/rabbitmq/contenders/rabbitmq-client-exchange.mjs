import { randomBytes } from 'node:crypto';
import { KEY, QUEUE } from '../../contenders/names.mjs';
import { openPublisher } from './rabbitmq-client.mjs';

/**
 * Publishes what sluice publishes with the client alone: through an exchange, with an id and a
 * time, and as mandatory messages.
 */
export function publisher(url) {
  const name = randomBytes(8).toString('hex');
  let number = 0;
  return openPublisher(url, async (channel) => {
    await channel.exchangeDeclare({ exchange: QUEUE, type: 'fanout', durable: true });
    await channel.queueBind({ exchange: QUEUE, queue: QUEUE });
    return (payload) => {
      const headers = { 'published-at': Date.now() };
      const envelope = {
        exchange: QUEUE,
        routingKey: KEY,
        durable: true,
        mandatory: true,
        messageId: `${name}-${++number}`,
        type: KEY,
        headers,
      };
      return channel.basicPublish(envelope, payload);
    };
  });
}

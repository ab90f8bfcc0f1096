import { publishWith } from '../../scenarios/servers/publish.mjs';

export const rabbitMqPublish64 = publishWith(64, {
  title: 'RabbitMQ: publish, 64 at a time',
  text: '64 publishers await each publish. Measured from the first publish until the last confirm. The limit is a `basicPublish` per message to a quorum queue. Another limit publishes like sluice: through an exchange, with an id and a time, and `mandatory`.',
  contenders: ['sluice', 'rabbitmq-client', 'rabbitmq-client-exchange'],
  goals: [
    { atLeast: 0.85, of: 'limit' },
    { atLeast: 0.85, of: 'rabbitmq-client-exchange' },
  ],
});

import { publishWith } from '../../scenarios/servers/publish.mjs';

export const rabbitMqPublish64 = publishWith(64, {
  title: 'RabbitMQ: publish, 64 at a time',
  text: 'By 64 publishers, each of which awaits each publish, from the first until the last is confirmed. The limit is a `basicPublish` each, straight to a quorum queue; another one is given what sluice sends: through an exchange, with an id and a time, and `mandatory`.',
  contenders: ['sluice', 'rabbitmq-client', 'rabbitmq-client-exchange'],
  goals: [
    { atLeast: 0.85, of: 'limit' },
    { atLeast: 0.85, of: 'rabbitmq-client-exchange' },
  ],
});

import { consumeAll } from '../../scenarios/servers/consume.mjs';

export const rabbitMqConsume = consumeAll({
  title: 'RabbitMQ: consume and ack, prefetch 64',
  text: 'All messages wait. Measured from the first request until the last acknowledgement is confirmed. The limit is a `basicAck` per message, and finally a request that the queue answers.',
  contenders: ['sluice', 'rabbitmq-client'],
  goals: [{ atLeast: 0.85, of: 'limit' }],
});

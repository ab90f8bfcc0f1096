import { consumeAll } from '../../scenarios/servers/consume.mjs';

export const rabbitMqConsume = consumeAll({
  title: 'RabbitMQ: consume and ack, prefetch 64',
  text: 'All messages wait; from the first request until the last acknowledgement is confirmed. The limit is a `basicAck` each, and at the end something that the queue answers.',
  contenders: ['sluice', 'rabbitmq-client'],
  goals: [{ atLeast: 0.85, of: 'limit' }],
});

import { consumeAll } from '../servers/consume.mjs';
import { onRabbitMq } from './common.mjs';

export const rabbitMqConsume = consumeAll({
  ...onRabbitMq,
  title: 'RabbitMQ: consume and ack, prefetch 64',
  text: 'All messages wait; from the first request until the last acknowledgement is confirmed. The limit is a `basicAck` each, and at the end something that the queue answers.',
  contenders: ['sluice', 'rabbitmq-client'],
  goals: [{ atLeast: 0.85, of: 'limit' }],
});

import { fullOutbox } from '../support/full-outbox.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('RabbitMqBackend with the maximum of unconfirmed messages', () => {
  retryOnce();
  fullOutbox(new RabbitMqSuite());
});

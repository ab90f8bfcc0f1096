import { fullOutbox } from '../support/full-outbox.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('A queue with as many unconfirmed messages as it may have', () => {
  retryOnce();
  fullOutbox(new RabbitMqSuite());
});

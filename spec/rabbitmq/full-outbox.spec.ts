import { fullOutbox } from '../support/full-outbox.js';
import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';

describeWithRabbitMq('A queue with as many unconfirmed messages as it may have', () => {
  fullOutbox(new RabbitMqSuite());
});

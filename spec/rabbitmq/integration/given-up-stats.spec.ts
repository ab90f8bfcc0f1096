import { QueueRequests } from '../../../src/rabbitmq/queue-requests.js';
import { givesUp } from '../../integration/given-up-stats.js';
import { RabbitMqSuite } from '../../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../../support/servers/describe-with.js';

describeWithRabbitMq('RabbitMqBackend without a server', () => {
  const count = jest.spyOn(QueueRequests.prototype, 'countConsumers');
  givesUp(new RabbitMqSuite(), () => count.mock.calls.length);
});

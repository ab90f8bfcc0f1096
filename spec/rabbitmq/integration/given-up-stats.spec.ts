import { Counts } from '../../../src/rabbitmq/counts.js';
import { givesUp } from '../../integration/given-up-stats.js';
import { RabbitMqSuite } from '../../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../../support/servers/describe-with.js';

describeWithRabbitMq('RabbitMqBackend without a server', () => {
  const count = jest.spyOn(Counts.prototype, 'consumers');
  givesUp(new RabbitMqSuite(), () => count.mock.calls.length);
});

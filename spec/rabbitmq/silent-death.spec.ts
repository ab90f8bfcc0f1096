import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithRabbitMq('A server that vanishes without a word', () => {
  silentDeath(new RabbitMqSuite());
});

import { RabbitMqSuite } from '../support/rabbitmq-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithRabbitMq('RabbitMqBackend when its server vanishes silently', () => {
  retryOnce();
  silentDeath(new RabbitMqSuite());
});

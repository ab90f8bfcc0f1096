import { keptLease } from '../../integration/faults/kept-lease.js';
import { killedConsumers } from '../../integration/faults/killed-consumers.js';
import { restartedServer } from '../../integration/faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../../integration/faults/stalled-connection.js';
import { Stage } from '../../integration/stage.js';
import { describeWithRabbitMq } from '../../support/servers/describe-with.js';
import { broker as rabbitMq } from './broker.js';
import { interventions } from './interventions.js';

describeWithRabbitMq('A queue on RabbitMQ', () => {
  const stage = new Stage(rabbitMq);

  killedConsumers(stage);
  restartedServer(stage, { startsSlowly: true });
  keptLease(stage);
  stalledPublisher(stage);
  stalledConsumer(stage);
  interventions(stage);
});

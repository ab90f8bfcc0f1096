import { describeWithRabbitMq } from '../../support/servers/describe-with.js';
import { keptLease } from '../faults/kept-lease.js';
import { killedConsumers } from '../faults/killed-consumers.js';
import { restartedServer } from '../faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../faults/stalled-connection.js';
import { Stage } from '../stage.js';
import { rabbitMq } from './broker.js';
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

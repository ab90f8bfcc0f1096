import { keptLease } from '../../integration/faults/kept-lease.js';
import { killedConsumers } from '../../integration/faults/killed-consumers.js';
import { restartedServer } from '../../integration/faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../../integration/faults/stalled-connection.js';
import { stuckSettlements } from '../../integration/faults/stuck-settlements.js';
import { Stage } from '../../integration/stage.js';
import { describeWithPostgres } from '../../support/servers/describe-with.js';
import { broker as postgres } from './broker.js';

describeWithPostgres('A queue in PostgreSQL', () => {
  const stage = new Stage(postgres);

  killedConsumers(stage);
  restartedServer(stage);
  keptLease(stage);
  stalledPublisher(stage);
  stalledConsumer(stage);
  stuckSettlements(stage, { tellsStale: true });
});

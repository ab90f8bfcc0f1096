import { keptLease } from '../../integration/faults/kept-lease.js';
import { killedConsumers } from '../../integration/faults/killed-consumers.js';
import { restartedServer } from '../../integration/faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../../integration/faults/stalled-connection.js';
import { stuckSettlements } from '../../integration/faults/stuck-settlements.js';
import { Stage } from '../../integration/stage.js';
import { describeWithNats } from '../../support/servers/describe-with.js';
import { broker as nats } from './broker.js';

describeWithNats('A queue on NATS', () => {
  const stage = new Stage(nats);

  killedConsumers(stage);
  restartedServer(stage);
  keptLease(stage);
  stalledPublisher(stage);
  stalledConsumer(stage);
  stuckSettlements(stage, { tellsStale: false });
});

import { describeWithNats } from '../../support/servers/describe-with.js';
import { keptLease } from '../faults/kept-lease.js';
import { killedConsumers } from '../faults/killed-consumers.js';
import { restartedServer } from '../faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../faults/stalled-connection.js';
import { stuckSettlements } from '../faults/stuck-settlements.js';
import { Stage } from '../stage.js';
import { nats } from './broker.js';

describeWithNats('A queue on NATS', () => {
  const stage = new Stage(nats);

  killedConsumers(stage);
  restartedServer(stage);
  keptLease(stage);
  stalledPublisher(stage);
  stalledConsumer(stage);
  stuckSettlements(stage, { tellsStale: false });
});

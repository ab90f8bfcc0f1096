import { keptLease } from '../../integration/faults/kept-lease.js';
import { killedConsumers } from '../../integration/faults/killed-consumers.js';
import { restartedServer } from '../../integration/faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../../integration/faults/stalled-connection.js';
import { stuckSettlements } from '../../integration/faults/stuck-settlements.js';
import { Stage } from '../../integration/stage.js';
import { describeWithRedis } from '../../support/servers/describe-with.js';
import { broker as redis } from './broker.js';

describeWithRedis('A queue on Redis', () => {
  const stage = new Stage(redis);

  killedConsumers(stage);
  restartedServer(stage);
  keptLease(stage);
  stalledPublisher(stage);
  stalledConsumer(stage);
  stuckSettlements(stage, { tellsStale: true });
});

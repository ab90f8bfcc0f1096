import { describeWithRedis } from '../../support/servers/describe-with.js';
import { keptLease } from '../faults/kept-lease.js';
import { killedConsumers } from '../faults/killed-consumers.js';
import { restartedServer } from '../faults/restarted-server.js';
import { stalledConsumer, stalledPublisher } from '../faults/stalled-connection.js';
import { stuckSettlements } from '../faults/stuck-settlements.js';
import { Stage } from '../stage.js';
import { redis } from './broker.js';

describeWithRedis('A queue on Redis', () => {
  const stage = new Stage(redis);

  killedConsumers(stage);
  restartedServer(stage);
  keptLease(stage);
  stalledPublisher(stage);
  stalledConsumer(stage);
  stuckSettlements(stage, { tellsStale: true });
});

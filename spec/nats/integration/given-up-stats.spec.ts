import { Counts } from '../../../src/nats/counts.js';
import { givesUp } from '../../integration/given-up-stats.js';
import { NatsSuite } from '../../support/nats-suite.js';
import { describeWithNats } from '../../support/servers/describe-with.js';

describeWithNats('A NatsBackend without a server', () => {
  const count = jest.spyOn(Counts.prototype, 'all');
  givesUp(new NatsSuite(), () => count.mock.calls.length);
});

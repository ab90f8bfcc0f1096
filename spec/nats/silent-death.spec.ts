import { NatsSuite } from '../support/nats-suite.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithNats('A server that vanishes without a word', () => {
  silentDeath(new NatsSuite());
});

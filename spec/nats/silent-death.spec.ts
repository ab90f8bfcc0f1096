import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithNats('A server that vanishes without a word', () => {
  retryOnce();
  silentDeath(new NatsSuite());
});

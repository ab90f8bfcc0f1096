import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { silentDeath } from '../support/silent-death.js';

describeWithNats('A NATS server that vanishes without closing its connections', () => {
  retryOnce();
  silentDeath(new NatsSuite());
});

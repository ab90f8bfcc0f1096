import { fullOutbox } from '../support/full-outbox.js';
import { NatsSuite } from '../support/nats-suite.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';

describeWithNats('A NatsBackend with `maxPending` unconfirmed messages', () => {
  retryOnce();
  fullOutbox(new NatsSuite());
});

import { NatsBackend } from 'sluice/nats';
import { NATS } from '../support/provider.js';
import { providerOptions } from '../support/provider-options.js';

providerOptions(NatsBackend, NATS, {
  client: {
    publish() {},
    subscribe() {},
    request() {},
    status() {},
    isClosed: () => true,
    closed: async () => {},
    flush: async () => {},
  },
  method: 'publish',
  refused: [
    [{ replicas: 0 }, RangeError, /`replicas`/],
    [{ replicas: 6 }, RangeError, /`replicas`.*5/],
    [{ replicas: 1.5 }, RangeError, /`replicas`/],
    [{ replicas: '3' }, TypeError, /`replicas`/],
    [{ storage: 'disk' }, RangeError, /`storage`/],
    [{ storage: null }, TypeError, /`storage`/],
    [{ domain: '' }, RangeError, /`domain`/],
    [{ domain: 'a.b' }, RangeError, /`domain`/],
    [{ domain: 'a b' }, RangeError, /`domain`/],
    [{ domain: '*' }, RangeError, /`domain`/],
    [{ domain: '>' }, RangeError, /`domain`/],
    [{ domain: null }, TypeError, /`domain`/],
    [{ domain: 7 }, TypeError, /`domain`/],
  ],
  taken: [
    { replicas: 5, storage: 'memory' },
    { replicas: undefined, storage: undefined, domain: undefined },
    { domain: 'leaf-1' },
  ],
});

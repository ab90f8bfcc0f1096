import { NatsBackend } from 'sluice/nats';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { NATS } from '../support/provider.js';
import { providerEnvironment } from '../support/provider-environment.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';

providerEnvironment(NatsBackend, NATS);

describeWithNats('NatsBackend.fromEnv', () => {
  const suite = new NatsSuite();

  it('reads every variable', async () => {
    const groups = ' billing , audit,billing';
    const env = {
      NATS_URL: suite.url,
      QUEUE_NAME: suite.name,
      QUEUE_GROUPS: groups,
      QUEUE_LEASE: '700',
      QUEUE_PUBLISH_TIMEOUT: '100000',
    };
    const queue = NatsBackend.fromEnv<{ paid: { n: number } }>(env, { logger: silentLogger });
    suite.ending(() => queue.close());
    await queue.publish('paid', { n: 1 });
    const holder = new Holder(queue, { group: 'audit' });
    await eventually(() => holder.deliveries.length === 1);
    const manager = await suite.manager();
    const infos = await manager.consumers.list(suite.names.stream).next();
    expect(infos.map(({ name }) => name).toSorted()).toEqual(['audit', 'billing']);
    expect((await suite.group('audit')).config.ack_wait).toBe(700_000_000);
    const { config } = await manager.streams.info(suite.names.stream);
    expect(config.duplicate_window / 1e6).toBeGreaterThanOrEqual(100_000);
  });
});

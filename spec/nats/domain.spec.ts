import { jetstreamManager } from '@nats-io/jetstream';
import { ConfigurationError } from 'sluice';
import { NatsBackend, type NatsBackendOptions } from 'sluice/nats';
import { Holder } from '../support/consumers.js';
import { eventually } from '../support/eventually.js';
import { NatsSuite } from '../support/nats-suite.js';
import { failureOf } from '../support/promises.js';
import { recordingLogger } from '../support/recording-logger.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { freePort } from '../support/servers/free-port.js';

describe('NATS_DOMAIN', () => {
  const url = { NATS_URL: 'nats://127.0.0.1:1' };

  it.each(['a.b', 'a b', '*', 'hub.>'])('may not be %s', (domain) => {
    expect(() => NatsBackend.fromEnv({ ...url, NATS_DOMAIN: domain })).toThrow(ConfigurationError);
    expect(() => NatsBackend.fromEnv({ ...url, NATS_DOMAIN: domain })).toThrow(/Expected NATS_DOMAIN/);
  });

  it('may be empty', async () => {
    await NatsBackend.fromEnv({ ...url, NATS_DOMAIN: '' }).close();
  });
});

describeWithNats('A NatsBackend at a leaf node', () => {
  let leafPort = 0;
  const hub = new NatsSuite(async () => {
    leafPort = await freePort();
    return {
      name: 'hub',
      jetStream: { domain: '"hub"' },
      config: { leafnodes: `{ listen: "127.0.0.1:${leafPort}" }` },
    };
  });
  const leaf = new NatsSuite(async () => ({
    name: 'leaf',
    jetStream: { domain: '"leaf"' },
    config: { leafnodes: `{ reconnect: 1, remotes: [{ url: "nats://127.0.0.1:${leafPort}" }] }` },
  }));

  // The leaf node accepts connections before it is connected to the hub.
  beforeAll(async () => {
    const manager = await jetstreamManager(await leaf.connection(), { domain: 'hub', checkAPI: false });
    const answers = () => manager.getAccountInfo().then(Boolean, () => false);
    await eventually(answers);
  });

  /** A queue that is connected to the leaf node. */
  const open = (options: Partial<NatsBackendOptions>) => leaf.open({ name: hub.name, ...options });

  /** How many streams each server has for this test's queue. */
  const streams = async () => {
    const count = async (suite: NatsSuite) => {
      const names: string[] = [];
      for await (const name of (await suite.manager()).streams.names()) names.push(name);
      return names.filter((name) => name.startsWith(hub.names.stream)).length;
    };
    return { hub: await count(hub), leaf: await count(leaf) };
  };

  it('stores its messages in the domain of the hub if `domain` names it, and works there', async () => {
    const logger = recordingLogger();
    const queue = open({ domain: 'hub', lease: 1000, publishTimeout: 30_000, logger });
    await queue.publish('key', { n: 1 });
    expect(await streams()).toEqual({ hub: 2, leaf: 0 });
    await queue.publish('key', { n: 2 }, { delay: 1 });
    await leaf.add(`${hub.name}.k`, 'odd');
    const holder = new Holder(queue);
    await eventually(() => holder.deliveries.length === 2);
    expect(await holder.of(1).nack()).toBe(true);
    await eventually(() => holder.deliveries.length === 3);
    expect(await Promise.all(holder.held.map((delivery) => delivery.ack()))).toEqual([true, true]);
    await eventually(async () => (await queue.stats()).unfinished === 0 && (await hub.length(hub.name)) === 0);
    expect(await hub.length(`${hub.name}~aside`)).toBe(1);
    expect(await streams()).toEqual({ hub: 3, leaf: 0 });
    expect(logger.warnings).toEqual([]);
  });

  it('stores them in the domain of the leaf node by default', async () => {
    await open({}).publish('key', { n: 1 });
    expect(await streams()).toEqual({ hub: 0, leaf: 2 });
  });

  it('reads the domain from the environment', async () => {
    const queue = NatsBackend.fromEnv(
      { NATS_URL: leaf.url, NATS_DOMAIN: 'hub', QUEUE_NAME: hub.name },
      { logger: recordingLogger() },
    );
    hub.ending(() => queue.close());
    await queue.publish('key', { n: 1 });
    expect(await streams()).toEqual({ hub: 2, leaf: 0 });
  });

  it('uses the domain with a client of the user', async () => {
    await open({ domain: 'hub', client: await leaf.client() }).publish('key', { n: 1 });
    expect(await streams()).toEqual({ hub: 2, leaf: 0 });
  });

  it('resumes after the hub was unavailable', async () => {
    const queue = open({ domain: 'hub', lease: 1000, publishTimeout: 60_000 });
    const holder = new Holder(queue);
    await queue.publish('key', { n: 1 });
    await hub.server.shutDown();
    const published = queue.publish('key', { n: 2 });
    await hub.server.start();
    await published;
    await eventually(() => holder.numbers.includes(2));
  });

  it('waits for a domain that does not respond, and names it', async () => {
    const error = await failureOf(open({ domain: 'nowhere', publishTimeout: 1500 }).publish('key', { n: 1 }));
    expect(error).toMatchObject({
      name: 'BackendUnavailableError',
      retryable: true,
      message: expect.stringContaining('domain "nowhere"'),
    });
  });
});

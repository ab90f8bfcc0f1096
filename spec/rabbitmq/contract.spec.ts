import { randomUUID } from 'node:crypto';
import type { QueueBackend } from 'sluice';
import { RabbitMqBackend } from 'sluice/rabbitmq';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { testEach } from '../support/contract-cases.js';
import { silentLogger } from '../support/recording-logger.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import { RabbitMqServer } from '../support/servers/rabbitmq-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';

const CAPABILITIES: BackendCapabilities = {
  groups: 'separate',
  lateGroups: 'next',
  shared: true,
  attempt: 'upper bound',
  release: 'counted',
  validation: 'json',
  close: 'at once',
  logger: true,
  lease: 1000,
  reasons: {
    lateGroups: 'RabbitMQ gives a queue only what is published after it was bound',
    attempt: 'RabbitMQ counts what was on its way to a consumer that left',
    release: 'RabbitMQ counts every message that goes back',
  },
};

describeWithRabbitMq('The contract, kept by a RabbitMqBackend', () => {
  let server: RabbitMqServer;
  let proxy: TcpProxy;

  beforeAll(async () => {
    server = await RabbitMqServer.start();
    proxy = await TcpProxy.start(server.port);
  }, 60_000);

  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  const create = async ({ name = randomUUID(), groups, lease, logger = silentLogger }: BackendNeeds = {}): Promise<QueueBackend> =>
    new RabbitMqBackend({ url: server.url.replace(`:${server.port}`, `:${proxy.port}`), name, groups, lease, logger });

  /** Cuts every connection. */
  const disconnect = async () => proxy.cut();

  // A restart takes a server of Erlang some seconds, and a case has two of them.
  testEach(queueBackendContract(create, { ...CAPABILITIES, disconnect, restart: () => server.restart(), deadline: 20_000 }), 130_000);
});

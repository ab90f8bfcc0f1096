import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import { RabbitMqBackend } from 'sluice/rabbitmq';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, CONTRACT_PUBLISH_TIMEOUT, testEach } from '../support/contract-cases.js';
import { silentLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithRabbitMq } from '../support/servers/describe-with.js';
import { RabbitMqServer } from '../support/servers/rabbitmq-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';

const LEASE = 1000;

const CAPABILITIES: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'next',
  shared: true,
  attempt: 'upper bound',
  release: 'counted',
  validation: 'json',
  close: 'at once',
  logger: true,
  lease: LEASE,
  dedupe: false,
  managed: true,
  peek: false,
  reasons: {
    addedGroups: 'RabbitMQ gives a queue only what is published after it was bound',
    attempt: 'RabbitMQ counts what was in transit to a consumer that left',
    dedupe: 'RabbitMQ does not deduplicate',
    foreignGroups: 'AMQP cannot list queues',
    peek: 'AMQP shows no message without taking it',
    purgeDelayed: 'messages that are delayed for every group share their queues',
    release: 'RabbitMQ counts every requeue',
  },
};

describeWithRabbitMq('Contract of RabbitMqBackend', () => {
  retryOnce();
  let server: RabbitMqServer;
  /** In front of the server for all backends without a lease. */
  let proxy: TcpProxy;
  /** One proxy per backend with a lease. */
  const proxies = new Map<QueueBackend, TcpProxy>();

  beforeAll(async () => {
    // The retry interval for messages that become due while the broker starts, in milliseconds. The
    // default is three minutes.
    server = await RabbitMqServer.start({ advanced: { dead_letter_worker_publisher_confirm_timeout: '1000' } });
    proxy = await TcpProxy.start(server.port);
  }, 60_000);

  afterAll(async () => {
    await Promise.all([proxy, ...proxies.values()].map((each) => each.stop()));
    await server.stop();
  });

  const create = async ({
    name = randomUUID(),
    groups,
    lease,
    logger = silentLogger,
  }: BackendNeeds = {}): Promise<QueueBackend> => {
    const own = lease === undefined ? proxy : await TcpProxy.start(server.port);
    const backend = new RabbitMqBackend({
      url: `amqp://127.0.0.1:${own.port}`,
      name,
      groups,
      lease,
      publishTimeout: CONTRACT_PUBLISH_TIMEOUT,
      logger,
    });
    if (own !== proxy) proxies.set(backend, own);
    return backend;
  };

  /** Cuts every connection. */
  const disconnect = async () => proxy.cut();

  /** Cuts the backend off for good. The broker immediately redelivers its messages in flight. */
  const expire = async (backend: QueueBackend) => {
    await proxies.get(backend)?.refuse();
    proxies.get(backend)?.cut();
    await sleep(LEASE);
  };

  // A restart of the server takes seconds, and a case has two of them.
  const restart = () => server.restart();
  const cases = queueBackendContract(create, {
    ...CAPABILITIES,
    disconnect,
    expire,
    restart,
    deadline: CONTRACT_DEADLINE,
  });
  testEach(cases);
});

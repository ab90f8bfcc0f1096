import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { QueueBackend } from 'sluice';
import { NatsBackend } from 'sluice/nats';
import { type BackendCapabilities, type BackendNeeds, queueBackendContract } from 'sluice/testing';
import { CONTRACT_DEADLINE, CONTRACT_PUBLISH_TIMEOUT, testEach } from '../support/contract-cases.js';
import { silentLogger } from '../support/recording-logger.js';
import { retryOnce } from '../support/retry-once.js';
import { describeWithNats } from '../support/servers/describe-with.js';
import { NatsServer } from '../support/servers/nats-server.js';
import { TcpProxy } from '../support/servers/tcp-proxy.js';

/** The lease of a backend for which a case requests one, in milliseconds. */
const LEASE = 1000;

/** The lease of all others: messages in transit over a lost connection are redelivered after it. */
const USUAL_LEASE = 3000;

const CAPABILITIES: BackendCapabilities = {
  groups: 'separate',
  addedGroups: 'held',
  shared: true,
  attempt: 'upper bound',
  release: 'counted',
  validation: 'json',
  close: 'at once',
  logger: true,
  dedupe: true,
  managed: true,
  foreignGroups: 'listed',
  peek: true,
  purgeDelayed: true,
  lease: LEASE,
  reasons: {
    dedupeDelayed: 'delayed messages are in a second stream, which has ids of its own',
    foreignGroups: 'the server does not tell messages in flight in another process from those that wait',
    release: 'JetStream counts every delivery',
  },
};

describeWithNats('The contract of NatsBackend', () => {
  retryOnce();
  let server: NatsServer;
  /** The proxy of all backends without a requested lease. */
  let proxy: TcpProxy;
  /** The proxies of the others. */
  const proxies = new Map<QueueBackend, TcpProxy>();

  beforeAll(async () => {
    server = await NatsServer.start();
    proxy = await TcpProxy.start(server.port);
  });

  afterAll(async () => {
    await Promise.all([proxy, ...proxies.values()].map((each) => each.stop()));
    await server.stop();
  });

  const create = async ({
    name = randomUUID(),
    groups,
    lease,
    dedupeWindow,
    logger = silentLogger,
  }: BackendNeeds = {}): Promise<QueueBackend> => {
    const own = lease === undefined ? proxy : await TcpProxy.start(server.port);
    const backend = new NatsBackend({
      url: `nats://127.0.0.1:${own.port}`,
      name,
      groups,
      lease: lease ?? USUAL_LEASE,
      dedupeWindow,
      publishTimeout: CONTRACT_PUBLISH_TIMEOUT,
      logger,
    });
    if (own !== proxy) proxies.set(backend, own);
    return backend;
  };

  const disconnect = async () => proxy.cut();

  /** Cuts its connection for good. */
  const expire = async (backend: QueueBackend) => {
    await proxies.get(backend)?.refuse();
    proxies.get(backend)?.cut();
    await sleep(LEASE);
  };

  const cases = queueBackendContract(create, {
    ...CAPABILITIES,
    disconnect,
    expire,
    restart: () => server.restart(),
    deadline: CONTRACT_DEADLINE,
  });
  testEach(cases);
});

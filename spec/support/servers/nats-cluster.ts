import { setTimeout as sleep } from 'node:timers/promises';
import { type ClusterInfo, type JetStreamManager, jetstreamManager, StorageType } from '@nats-io/jetstream';
import { freePort } from './free-port.js';
import { NatsServer, type NatsServerOptions } from './nats-server.js';

const SIZE = 3;
/** Short: without a leader no server responds, and the cluster asks again after the timeout. */
const TIMEOUT = 1000;
const DEADLINE = 60_000;
const STARTS_TRIED = 3;

/**
 * Three NATS servers with JetStream, `n1` to `n3`, in one cluster. A test can kill and restart
 * them.
 */
export class NatsCluster {
  readonly #options: Omit<NatsServerOptions, 'name' | 'routes'>;
  #servers: readonly NatsServer[] = [];

  constructor(options: Omit<NatsServerOptions, 'name' | 'routes'> = {}) {
    this.#options = options;
  }

  /** Starts a cluster. */
  static async start(options?: Omit<NatsServerOptions, 'name' | 'routes'>): Promise<NatsCluster> {
    const cluster = new NatsCluster(options);
    await cluster.start();
    return cluster;
  }

  get servers(): readonly NatsServer[] {
    return this.#servers;
  }

  /** The URLs of its servers, separated by commas. */
  get url(): string {
    return this.#servers.map(({ url }) => url).join(',');
  }

  /** Starts the servers and waits until the cluster is complete. */
  async start(): Promise<void> {
    for (let tried = 1; ; tried++) {
      try {
        await this.#launch();
        return await this.whole();
      } catch (error) {
        await this.stop();
        // Every server knows the ports of the others from its start, so a single port cannot be
        // changed.
        if (tried === STARTS_TRIED || !/address already in use/.test(String(error))) throw error;
      }
    }
  }

  /**
   * Waits until all servers follow one leader, and every stream and consumer has a leader and all
   * replicas.
   */
  async whole(): Promise<void> {
    const deadline = performance.now() + DEADLINE;
    for (;;) {
      try {
        await this.#check();
        return;
      } catch (error) {
        if (performance.now() > deadline)
          throw new Error(`The cluster was not complete within ${DEADLINE / 1000} s`, { cause: error });
        await sleep(100);
      }
    }
  }

  /**
   * Returns the leader of a stream. Rejects while there is none. @param through a running server
   */
  async leaderOf(stream: string, through = this.#servers[0]): Promise<NatsServer> {
    if (through === undefined) throw new Error('The cluster was not started');
    const { cluster } = await this.#manage(through, (manager) => manager.streams.info(stream));
    const leader = this.#servers.find(({ name }) => name === cluster?.leader);
    if (leader === undefined) throw new Error(`The stream ${stream} has no leader`);
    return leader;
  }

  /** Stops the servers and removes their folders. May be called in any state. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    this.#servers = [];
  }

  async #launch(): Promise<void> {
    const ports = await Promise.all(Array.from({ length: SIZE }, freePort));
    this.#servers = ports.map((port, index) => {
      const routes = { cluster: 'sluice', port, ports };
      return new NatsServer({ ...this.#options, name: `n${index + 1}`, routes });
    });
    const starts = await Promise.allSettled(this.#servers.map((server) => server.start()));
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
  }

  #manage<Answer>(server: NatsServer, ask: (manager: JetStreamManager) => Promise<Answer>): Promise<Answer> {
    return server.use(async (connection) =>
      ask(await jetstreamManager(connection, { checkAPI: false, timeout: TIMEOUT })),
    );
  }

  async #check(): Promise<void> {
    // A restarted server may be the last to learn of the leader.
    for (const server of this.#servers) await this.#manage(server, (manager) => manager.getAccountInfo());
    const [first] = this.#servers;
    if (first !== undefined) await this.#manage(first, checkCopies);
  }
}

/**
 * Rejects while a server is missing, and so could not store its replica of a new stream, or while a
 * stream or a consumer has no leader.
 */
async function checkCopies(manager: JetStreamManager): Promise<void> {
  const probe = { name: 'sluice-probe', subjects: ['sluice-probe'], num_replicas: SIZE, storage: StorageType.Memory };
  await manager.streams.add(probe);
  await manager.streams.delete(probe.name);
  for await (const { config, cluster, state } of manager.streams.list()) {
    checkGroup(config.name, cluster);
    let consumers = 0;
    for await (const consumer of manager.consumers.list(config.name)) {
      checkGroup(consumer.name, consumer.cluster);
      consumers += 1;
    }
    // Streams and consumers whose leader does not respond are omitted.
    if (consumers < state.consumer_count) throw new Error(`a consumer of ${config.name} does not answer`);
  }
}

/** Ignores whether a replica is `current`: in an idle group that may stay false. */
function checkGroup(name: string, cluster: ClusterInfo | undefined): void {
  const whole = cluster?.leader !== undefined && !(cluster.replicas ?? []).some(({ offline }) => offline);
  if (!whole) throw new Error(`${name} has no leader, or a copy is offline`);
}

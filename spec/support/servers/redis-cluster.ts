import { setTimeout as sleep } from 'node:timers/promises';
import { RedisServer, SLOTS, slots } from './redis-server.js';
import { isAtLeast } from './server-version.js';

const SHARDS = 3;
const DEADLINE = 60_000;

/** After this many milliseconds without a response, the other members consider a member dead. */
const NODE_TIMEOUT = 2000;

/** Six Redis servers in one cluster: three masters that share the slots, with one replica each. */
export class RedisCluster {
  #servers: readonly RedisServer[] = [];

  /** Starts a cluster. */
  static async start(): Promise<RedisCluster> {
    const cluster = new RedisCluster();
    try {
      await cluster.#start();
    } catch (error) {
      await cluster.stop();
      throw error;
    }
    return cluster;
  }

  /** Its members. */
  get servers(): readonly RedisServer[] {
    return this.#servers;
  }

  /** Returns the member that owns a key, according to a running member. */
  async masterOf(key: string, through = this.#up()): Promise<RedisServer> {
    const slot = Number(await through.run('CLUSTER', 'KEYSLOT', key));
    const ranges = (await through.run('CLUSTER', 'SLOTS')) as [
      from: number,
      to: number,
      master: [host: string, port: number],
    ][];
    const port = ranges.find(([from, to]) => from <= slot && slot <= to)?.[2][1];
    const master = this.#servers.find((server) => server.port === port);
    if (master === undefined) throw new Error(`No member has the slot ${slot}`);
    return master;
  }

  /**
   * Returns the replica of the member that owns a key. Waits until that member knows its replica.
   */
  async replicaOf(key: string): Promise<RedisServer> {
    const master = await this.masterOf(key);
    const id = String(await master.run('CLUSTER', 'MYID'));
    const find = async () => {
      const [line = ''] = (await master.run('CLUSTER', 'REPLICAS', id)) as string[];
      const port = Number(/ [\d.]+:(\d+)@/.exec(line)?.[1]);
      return this.#servers.find((server) => server.port === port);
    };
    let replica = await find();
    await until(async () => {
      replica ??= await find();
      return replica !== undefined;
    });
    return replica as RedisServer;
  }

  /** Performs a planned failover of the member that owns a key. Resolves to the new master. */
  async failOver(key: string): Promise<RedisServer> {
    const [master, replica] = [await this.masterOf(key), await this.replicaOf(key)];
    await replica.run('CLUSTER', 'FAILOVER');
    await this.leads(replica, key);
    // In Redis 6.2, only time ends the pause of a planned failover: for ten seconds, the former
    // master applies no writes, not even those of its new master.
    if (!isAtLeast('redis-server', [7, 0])) await master.run('CLIENT', 'UNPAUSE');
    return replica;
  }

  /** Waits until a member reports that it owns a key. */
  async leads(server: RedisServer, key: string): Promise<void> {
    await until(async () => (await this.masterOf(key, server)) === server);
  }

  /** Waits until all members are up and agree on the slots, and each master has its replica. */
  async whole(): Promise<void> {
    for (const server of this.#servers) {
      await until(async () => {
        const nodes = String(await server.run('CLUSTER', 'NODES'));
        const info = String(await server.run('CLUSTER', 'INFO'));
        const replication = String(await server.run('INFO', 'replication'));
        const linked = /role:master/.test(replication)
          ? /connected_slaves:1/.test(replication)
          : /master_link_status:up/.test(replication);
        return (
          linked &&
          info.includes('cluster_state:ok') &&
          nodes.trim().split('\n').length === 2 * SHARDS &&
          !/fail|handshake|noaddr/.test(nodes)
        );
      });
    }
  }

  /** Stops the servers and removes their folders. May be called in any state. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.stop()));
    this.#servers = [];
  }

  /** Returns a running member. */
  #up(): RedisServer {
    const server = this.#servers.find(({ pid }) => pid !== undefined);
    if (server === undefined) throw new Error('No member is up');
    return server;
  }

  async #start(): Promise<void> {
    const config = {
      'cluster-node-timeout': String(NODE_TIMEOUT),
      'cluster-replica-validity-factor': '0',
      'cluster-allow-replica-migration': 'no',
    };
    const starts = await Promise.allSettled(
      Array.from({ length: 2 * SHARDS }, () => RedisServer.start({ cluster: 'member', config })),
    );
    this.#servers = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []));
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
    const masters = this.#servers.slice(0, SHARDS);
    const replicas = this.#servers.slice(SHARDS);
    for (const [index, master] of masters.entries()) {
      const [from, to] = [index, index + 1].map((part) => Math.floor((part * SLOTS) / SHARDS)) as [number, number];
      // Assign unique epochs from the start, so that the masters need not resolve conflicts.
      await master.run('CLUSTER', 'SET-CONFIG-EPOCH', String(index + 1));
      await master.run('CLUSTER', 'ADDSLOTS', ...slots(from, to));
    }
    const [first, ...others] = this.#servers as [RedisServer, ...RedisServer[]];
    for (const { port, busPort } of others)
      await first.run('CLUSTER', 'MEET', '127.0.0.1', String(port), String(busPort));
    for (const [index, replica] of replicas.entries()) {
      const id = String(await masters[index]?.run('CLUSTER', 'MYID'));
      // The replica has to learn about its master first.
      await until(async () => String(await replica.run('CLUSTER', 'NODES')).includes(id));
      await replica.run('CLUSTER', 'REPLICATE', id);
    }
    await this.whole();
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + DEADLINE;
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`The cluster did not become ready within ${DEADLINE / 1000} s: ${condition}`);
    await sleep(100);
  }
}

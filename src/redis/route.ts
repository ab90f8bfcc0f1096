import type { RedisClientTemplate } from './options.js';
import { isReply } from './redis-errors.js';

/** The part of a client of node-redis that the queue uses. */
export interface RedisClient {
  readonly options?: { readonly name?: string | undefined } | undefined;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  /** Emitted when the socket is connected, before the handshake. */
  on(event: 'connect', listener: () => void): unknown;
  sendCommand(command: readonly string[]): Promise<unknown>;
}

/** Leads to the server that has the queue. Each connection takes a new route, since another server may have the queue by then. */
export interface Route {
  /** Finds the server. Resolves to a client for it that is not connected yet. */
  find(): Promise<RedisClient>;
  /** Ends the search, in any state. */
  destroy(): void;
}

/** Creates a client with the options of another one. */
export type Duplicate = (client: RedisClientTemplate) => RedisClient;

/** What a cluster client and a sentinel client have in common. */
interface Finder {
  on(event: 'error' | 'node-error', listener: (error: unknown) => void): unknown;
  connect(): Promise<unknown>;
  destroy(): unknown;
}

interface ClusterNode {
  readonly client?: RedisClientTemplate | undefined;
}

interface Cluster extends Finder {
  readonly slots: readonly ({ readonly master: ClusterNode } | undefined)[];
  nodeClient(node: ClusterNode): Promise<unknown>;
}

interface Sentinel extends Finder {
  /**
   * Private in node-redis, and the only way to the client of the master, whose options the queue needs: `getMasterNode()` tells no
   * more than its address. The integration suite finds a master with it, and fails if it changes.
   */
  _execute<Value>(isReadonly: boolean, use: (client: RedisClientTemplate) => Promise<Value>): Promise<Value>;
}

interface SentinelOptions {
  readonly sentinelRootNodes: readonly unknown[];
  readonly sentinelClientOptions?:
    | { readonly socket?: { readonly connectTimeout?: number; readonly socketTimeout?: number } }
    | undefined;
}

/** The least time that a sentinel has to answer, in milliseconds. */
const MIN_SENTINEL_TIMEOUT = 1000;

/** Whether a client may have to look for the server. */
export function searches(client: object): boolean {
  return isCluster(client) || isSentinel(client);
}

/**
 * Creates the route of a client of one server, of a cluster or of a sentinel.
 * @param search how long sentinels may be asked for the server, all together, in milliseconds
 */
export function routeOf(client: RedisClientTemplate, slot: number, duplicate: Duplicate, search: number): Route {
  if (isCluster(client)) return clusterRoute(client, slot, duplicate);
  if (isSentinel(client)) return sentinelRoute(client, duplicate, search);
  return direct(duplicate(client));
}

/** Creates the route to a server whose address is known. */
export function direct(client: RedisClient): Route {
  return { find: async () => client, destroy: () => {} };
}

function isCluster(client: object): boolean {
  return 'slots' in client && 'nodeClient' in client;
}

function isSentinel(client: object): boolean {
  return 'getSentinelNode' in client;
}

function clusterRoute(client: RedisClientTemplate, slot: number, duplicate: Duplicate): Route {
  // It connects only to the nodes that it needs.
  const overrides = { minimizeConnections: true, useReplicas: false, clientSideCache: undefined };
  const cluster: Cluster = client.duplicate(overrides);
  return new Search(cluster, async () => {
    const master = cluster.slots[slot]?.master;
    if (master === undefined) throw new Error(`No node of the cluster serves slot ${slot}, which has the queue`);
    const connecting = cluster.nodeClient(master);
    const found = duplicate(master.client as RedisClientTemplate);
    // The queue needs only the options of that client. But a client that is closed while it connects leaves its socket open.
    await new Promise<void>((resolve) => {
      const end = () => resolve();
      cluster.on('node-error', end);
      connecting.then(end, end);
    });
    return found;
  });
}

function sentinelRoute(client: RedisClientTemplate, duplicate: Duplicate, search: number): Route {
  const sentinel: Sentinel = client.duplicate({
    masterPoolSize: 1,
    replicaPoolSize: 0,
    reserveClient: false,
    scanInterval: 0,
    maxCommandRediscovers: 0,
    ...sentinelTimeouts(client, search),
    clientSideCache: undefined,
  });
  return new Search(sentinel, () => sentinel._execute(false, async (master) => duplicate(master)));
}

/**
 * Options by which a client gives up a sentinel that does not answer, and asks the next one. By default node-redis waits for ever. Each
 * sentinel gets its share of the search. Empty if the options of the client are unknown, since overrides would replace them.
 */
function sentinelTimeouts(client: RedisClientTemplate, search: number): Partial<SentinelOptions> {
  const options = optionsOf(client);
  if (options === undefined) return {};
  const { sentinelRootNodes, sentinelClientOptions } = options;
  const share = Math.max(MIN_SENTINEL_TIMEOUT, search / sentinelRootNodes.length);
  const socket = sentinelClientOptions?.socket;
  // 0 means no timeout.
  const atMost = (milliseconds = 0) => Math.min(share, milliseconds || share);
  const timeouts = { connectTimeout: atMost(socket?.connectTimeout), socketTimeout: atMost(socket?.socketTimeout) };
  return { sentinelClientOptions: { ...sentinelClientOptions, socket: { ...socket, ...timeouts } } };
}

/**
 * Reads the options of a sentinel client. They are private in node-redis, but `duplicate` passes them to the constructor. If that
 * changes, the options are unknown, and the specs of the timeouts fail.
 */
function optionsOf(client: RedisClientTemplate): SentinelOptions | undefined {
  // Not an arrow function: `duplicate` calls it with `new`.
  function returnOptions(given: object): object {
    return given;
  }
  try {
    const prototype = Object.create(client, { constructor: { value: returnOptions } });
    const template: RedisClientTemplate = Object.create(prototype);
    const options: Partial<SentinelOptions> = template.duplicate();
    return Array.isArray(options.sentinelRootNodes) ? (options as SentinelOptions) : undefined;
  } catch {
    return undefined;
  }
}

/** Asks a cluster or the sentinels for the server. */
class Search implements Route {
  readonly #finder: Finder;
  readonly #pick: () => Promise<RedisClient>;
  /** Why one of the nodes could not be asked. It says more than that none could. */
  #reason: unknown;

  constructor(finder: Finder, pick: () => Promise<RedisClient>) {
    this.#finder = finder;
    this.#pick = pick;
    finder.on('error', (error) => {
      if (error instanceof Error) this.#reason = error;
    });
  }

  async find(): Promise<RedisClient> {
    try {
      await this.#finder.connect();
      return await this.#pick();
    } catch (error) {
      throw isReply(error) ? error : (this.#reason ?? error);
    } finally {
      this.destroy();
    }
  }

  destroy(): void {
    const end = async () => this.#finder.destroy();
    // This fails only if the client is closed already.
    end().catch(() => {});
  }
}

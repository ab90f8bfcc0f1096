import type { RedisClientTemplate } from './options.js';
import { isReply } from './redis-errors.js';

/** What is used of a client of node-redis. */
export interface RedisClient {
  readonly options?: { readonly name?: string | undefined } | undefined;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  /** When its socket is connected, before it has agreed with the server. */
  on(event: 'connect', listener: () => void): unknown;
  sendCommand(command: readonly string[]): Promise<unknown>;
}

/** Leads to the server that has the queue. A new connection takes a new one, since another server may have the queue by then. */
export interface Route {
  /** Finds the server. Resolves to a client for it that is not connected yet. */
  find(): Promise<RedisClient>;
  /** Ends the search, in any state. */
  destroy(): void;
}

/** Makes a client with the options of another one. */
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
  _execute<Value>(isReadonly: boolean, use: (client: RedisClientTemplate) => Promise<Value>): Promise<Value>;
}

interface SentinelOptions {
  readonly sentinelRootNodes: readonly unknown[];
  readonly sentinelClientOptions?:
    | { readonly socket?: { readonly connectTimeout?: number; readonly socketTimeout?: number } }
    | undefined;
}

/** The least time that a sentinel has to answer, in milliseconds. */
const LEAST_FOR_SENTINEL = 1000;

/** Whether a client may have to look for the server. */
export function searches(client: object): boolean {
  return isCluster(client) || isSentinel(client);
}

/**
 * The route of a client of one server, of a cluster or of a sentinel.
 * @param search how long sentinels may be asked for the server, all together, in milliseconds
 */
export function routeOf(client: RedisClientTemplate, slot: number, duplicate: Duplicate, search: number): Route {
  if (isCluster(client)) {
    // It connects to the nodes that it needs, and to no others.
    const cluster: Cluster = client.duplicate({
      minimizeConnections: true,
      useReplicas: false,
      clientSideCache: undefined,
    });
    return new Search(cluster, async () => {
      const master = cluster.slots[slot]?.master;
      if (master === undefined) throw new Error(`No node of the cluster serves slot ${slot}, which has the queue`);
      const connecting = cluster.nodeClient(master);
      const found = duplicate(master.client as RedisClientTemplate);
      // Only the options of that client are needed. But if it is closed while it connects, it leaves its socket open.
      await new Promise<void>((resolve) => {
        cluster.on('node-error', () => resolve());
        connecting.then(
          () => resolve(),
          () => resolve(),
        );
      });
      return found;
    });
  }
  if (isSentinel(client)) {
    const once = {
      masterPoolSize: 1,
      replicaPoolSize: 0,
      reserveClient: false,
      scanInterval: 0,
      maxCommandRediscovers: 0,
    };
    const sentinel: Sentinel = client.duplicate({
      ...once,
      ...sentinelDeadlines(client, search),
      clientSideCache: undefined,
    });
    return new Search(sentinel, () => sentinel._execute(false, async (master) => duplicate(master)));
  }
  return direct(duplicate(client));
}

/** The route to a server whose address is known. */
export function direct(client: RedisClient): Route {
  return { find: async () => client, destroy: () => {} };
}

function isCluster(client: object): boolean {
  return 'slots' in client && 'nodeClient' in client;
}

function isSentinel(client: object): boolean {
  return 'getSentinelNode' in client;
}

/**
 * Options by which a client gives up on a sentinel that does not answer, and asks the next one: by itself it waits for ever. Each sentinel has its share of the
 * search. Empty where the client does not tell its options: they would be lost.
 */
function sentinelDeadlines(client: RedisClientTemplate, search: number): Partial<SentinelOptions> {
  const options = optionsOf(client);
  if (options === undefined) return {};
  const { sentinelRootNodes, sentinelClientOptions } = options;
  const share = Math.max(LEAST_FOR_SENTINEL, search / sentinelRootNodes.length);
  const socket = sentinelClientOptions?.socket;
  // A 0 is none.
  const atMost = (milliseconds = 0) => Math.min(share, milliseconds || share);
  const deadlines = { connectTimeout: atMost(socket?.connectTimeout), socketTimeout: atMost(socket?.socketTimeout) };
  return { sentinelClientOptions: { ...sentinelClientOptions, socket: { ...socket, ...deadlines } } };
}

/** The options of a client of sentinels. They are private, but `duplicate` hands them to the constructor. */
function optionsOf(client: RedisClientTemplate): SentinelOptions | undefined {
  try {
    const options: Partial<SentinelOptions> = Object.create(
      Object.create(client, { constructor: { value: returnOptions } }),
    ).duplicate();
    return Array.isArray(options.sentinelRootNodes) ? (options as SentinelOptions) : undefined;
  } catch {
    // It duplicates itself in another way than those of today.
    return undefined;
  }
}

/** Stands for a constructor. */
function returnOptions(options: object): object {
  return options;
}

/** Asks a cluster or the sentinels. */
class Search implements Route {
  readonly #finder: Finder;
  readonly #pick: () => Promise<RedisClient>;
  /** Why one of those that were asked could not be. It says more than that none could. */
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
    // It fails only where the client is closed already.
    end().catch(() => {});
  }
}

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

/** Leads to the server that has the queue. Each connection has its own: the server may change. */
export interface Route {
  /** Resolves to a client for the server that is not connected yet. */
  find(): Promise<RedisClient>;
  /** Ends the search, in any state. */
  destroy(): void;
}

/** Creates a client with the options of another one. */
export type Duplicate = (client: RedisClientTemplate) => RedisClient;

/** A cluster client or a sentinel client. */
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
   * Private in node-redis, and the only way to the options of the client of the master:
   * `getMasterNode()` returns only its address. The integration suite fails if this changes.
   */
  _execute<Value>(isReadonly: boolean, use: (client: RedisClientTemplate) => Promise<Value>): Promise<Value>;
}

interface SentinelOptions {
  readonly sentinelRootNodes: readonly unknown[];
  readonly sentinelClientOptions?:
    | { readonly socket?: { readonly connectTimeout?: number; readonly socketTimeout?: number } }
    | undefined;
}

/** The shortest time for a sentinel to answer, in milliseconds. */
const MIN_SENTINEL_TIMEOUT = 1000;

/** Whether a client may have to look for the server. */
export function searches(client: object): boolean {
  return isCluster(client) || isSentinel(client);
}

/**
 * Creates the route of a client of one server, of a cluster or of a sentinel.
 * @param longest how long all sentinels together may take to answer, in milliseconds
 */
export function routeOf(client: RedisClientTemplate, slot: number, duplicate: Duplicate, longest: number): Route {
  if (isCluster(client)) return clusterRoute(client, slot, duplicate);
  if (isSentinel(client)) return sentinelRoute(client, duplicate, longest);
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
  const overrides = { minimizeConnections: true, useReplicas: false, clientSideCache: undefined };
  const cluster: Cluster = client.duplicate(overrides);
  return search(cluster, async () => {
    const master = cluster.slots[slot]?.master;
    if (master === undefined) throw new Error(`No node of the cluster serves slot ${slot}, which has the queue`);
    const connecting = cluster.nodeClient(master);
    const found = duplicate(master.client as RedisClientTemplate);
    // The queue needs only the options of that client. But a client that is closed while it
    // connects leaves its socket open.
    await new Promise<unknown>((resolve) => {
      cluster.on('node-error', resolve);
      connecting.then(resolve, resolve);
    });
    return found;
  });
}

function sentinelRoute(client: RedisClientTemplate, duplicate: Duplicate, longest: number): Route {
  const sentinel: Sentinel = client.duplicate({
    masterPoolSize: 1,
    replicaPoolSize: 0,
    reserveClient: false,
    scanInterval: 0,
    maxCommandRediscovers: 0,
    ...sentinelTimeouts(client, longest),
    clientSideCache: undefined,
  });
  return search(sentinel, () => sentinel._execute(false, async (master) => duplicate(master)));
}

/**
 * Returns options that give each sentinel its share of the time. Then the client asks the next one.
 * By default, node-redis waits for ever. Empty if the options of the client are unknown, because
 * overrides would replace them.
 */
function sentinelTimeouts(client: RedisClientTemplate, longest: number): Partial<SentinelOptions> {
  const options = optionsOf(client);
  if (options === undefined) return {};
  const { sentinelRootNodes, sentinelClientOptions } = options;
  const share = Math.max(MIN_SENTINEL_TIMEOUT, longest / sentinelRootNodes.length);
  const socket = sentinelClientOptions?.socket;
  // 0 means no timeout.
  const atMost = (milliseconds = 0) => Math.min(share, milliseconds || share);
  const timeouts = { connectTimeout: atMost(socket?.connectTimeout), socketTimeout: atMost(socket?.socketTimeout) };
  return { sentinelClientOptions: { ...sentinelClientOptions, socket: { ...socket, ...timeouts } } };
}

/**
 * Reads the options of a sentinel client. They are private in node-redis, but `duplicate` passes
 * them to the constructor. If that changes, this returns undefined, and the specs of the timeouts
 * fail.
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
function search(finder: Finder, pick: () => Promise<RedisClient>): Route {
  // The error of one node says more than the error that no node has answered.
  let nodeError: Error | undefined;
  finder.on('error', (error) => {
    if (error instanceof Error) nodeError = error;
  });
  const destroy = () => {
    const end = async () => finder.destroy();
    // This fails only if the client is closed already.
    end().catch(() => {});
  };
  const find = async () => {
    try {
      await finder.connect();
      return await pick();
    } catch (error) {
      throw isReply(error) ? error : (nodeError ?? error);
    } finally {
      destroy();
    }
  };
  return { find, destroy };
}

import {
  Connection as CoreConnection,
  type ConnectionOptions as CoreConnectionOptions,
  type Link,
} from '../core/connection.js';
import { withDeadline } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import { KeepAlive } from './keep-alive.js';
import { isElsewhere, isReply } from './redis-errors.js';
import type { RedisClient, Route } from './route.js';
import type { Script } from './scripts/index.js';

export interface ConnectionOptions
  extends Pick<
    CoreConnectionOptions<RedisLink>,
    'server' | 'queue' | 'connection' | 'broker' | 'classify' | 'connectTimeout' | 'maxBackoff' | 'logger'
  > {
  /** A new route to the server, to clients that do not reconnect by themselves. */
  readonly createRoute: () => Route;
  /** What the server calls the connection, unless its client has a name of its own. */
  readonly name: string;
  /** How much longer than an answer it may take to find the server, in milliseconds. */
  readonly search: number;
  /** Called with each new connection before anybody else may use it. */
  readonly prepare: (connection: Connection) => Promise<void>;
  /** How long a new connection may be idle before it sends a PING, in milliseconds. Infinity: no PING. */
  readonly mostIdle: () => number;
}

/** How many times its usual patience a connection has at most, and after how many answers in time it has the usual patience again. */
const SLOWEST = 12;
const QUICK_AGAIN = 1000;

/** A connection that heals, and that commands are sent over. */
export class Connection {
  readonly #connection: CoreConnection<RedisLink>;
  readonly #responseTimeout: number;
  readonly #keepAlive = new KeepAlive(() => void this.#ping());
  /** How many commands have no answer yet. */
  #unanswered = 0;
  #number = 0;
  /** By how much longer than usual it waits for answers: a link may be too slow for what comes over it. */
  #slowness = 1;
  /** Answers since the last one that did not come in time. */
  #inTime = 0;

  constructor({ createRoute, name, search, prepare, mostIdle, ...options }: ConnectionOptions) {
    this.#responseTimeout = options.connectTimeout;
    this.#connection = new CoreConnection({
      ...options,
      connectTimeout: options.connectTimeout + search,
      createLink: (lost) => new RedisLink(createRoute(), lost),
      prepare: async () => {
        this.#number += 1;
        this.#setName(name);
        await prepare(this);
        this.#keepAlive.start(mostIdle());
      },
    });
  }

  get isReady(): boolean {
    return this.#connection.isReady;
  }

  /** Whether what waits for it may soon go on. */
  get mayRecover(): boolean {
    return this.#connection.mayRecover;
  }

  /** How many there have been, with the one of now. A server that answers a new one may know less than the one before: it was restarted, or has taken its place. */
  get number(): number {
    return this.#number;
  }

  /** Why there is no connection, as far as that is known. */
  get lastError(): unknown {
    return this.#connection.lastError;
  }

  /** Resolves once there is a connection; rejects when it is closed or the signal aborts, and with the error that no second attempt mends. */
  ready(signal?: AbortSignal): Promise<void> {
    return this.#connection.ready(signal);
  }

  /**
   * Sends a command, over the connection that there is.
   * @param patience how much longer than others it may take, in milliseconds
   * @throws {ConnectionLostError} (a rejection) when there is none, or it is lost before the answer: then the command may have been carried out
   */
  async send(command: readonly string[], patience = 0): Promise<unknown> {
    const { link } = this.#connection;
    const client = link?.client;
    if (link === undefined || client === undefined) throw new ConnectionLostError('There is no connection');
    const deadline = this.#responseTimeout * this.#slowness + patience;
    this.#unanswered += 1;
    try {
      const answer = await withDeadline(client.sendCommand(command), deadline, () => this.#late());
      if (++this.#inTime === QUICK_AGAIN) this.#slowness = 1;
      return answer;
    } catch (error) {
      if (!isReply(error) || isElsewhere(error)) this.#connection.lose(link, error);
      if (isReply(error)) throw error;
      throw new ConnectionLostError('The connection was lost before the answer', { cause: error });
    } finally {
      this.#unanswered -= 1;
      this.#keepAlive.used();
    }
  }

  /** Calls a script, by its hash if the server knows it. */
  async run(script: Script, keys: readonly string[], args: readonly string[]): Promise<unknown> {
    try {
      return await this.send(script.byHash(keys, args));
    } catch (error) {
      if (!isReply(error) || !error.message.startsWith('NOSCRIPT')) throw error;
      return this.send(script.byText(keys, args));
    }
  }

  /** Drops the connection of now, and connects anew. */
  renew(cause: unknown): void {
    this.#connection.renew(cause);
  }

  /** Drops the connection of now. The next command that waits for one connects anew: an address may lead to another server by then. */
  drop(cause: unknown): void {
    this.#connection.drop(cause);
  }

  /** Ends it, and whatever waits for it. */
  close(): void {
    this.#keepAlive.stop();
    this.#connection.close();
  }

  /** A connection without a name works as well: not every user may set one. */
  #setName(name: string): void {
    const { client } = this.#connection.link ?? {};
    if (client?.options?.name === undefined) this.send(['CLIENT', 'SETNAME', name]).catch(() => {});
  }

  async #ping(): Promise<void> {
    // A connection that waits for an answer is not idle.
    if (this.#unanswered > 0) return;
    try {
      await this.send(['PING']);
    } catch {
      // A refusal is an answer as well. A lost connection is made anew, and told of.
    }
  }

  /** An answer is overdue. Nobody can see whether some of it has come: next time it may take longer. */
  #late(): Error {
    this.#slowness = Math.min(SLOWEST, this.#slowness * 2);
    this.#inTime = 0;
    return new Error('Redis did not answer in time');
  }
}

class RedisLink implements Link {
  /** Undefined until the server is found. */
  client: RedisClient | undefined;
  readonly #route: Route;
  readonly #lost: (cause: unknown) => void;
  /** A server that was asked may never answer. */
  readonly #end = new Disconnection();
  #destroyed = false;

  constructor(route: Route, lost: (cause: unknown) => void) {
    this.#route = route;
    this.#lost = lost;
  }

  async connect(): Promise<void> {
    const client = await this.#end.before(this.#route.find());
    client.on('error', this.#lost);
    // A client that is destroyed before its socket is connected leaves the socket open, and that keeps the process alive.
    client.on('connect', () => this.#destroyed && client.destroy());
    this.client = client;
    await client.connect();
  }

  destroy(): void {
    this.#destroyed = true;
    this.#end.come(new ConnectionLostError('The connection was closed'));
    this.#route.destroy();
    this.client?.destroy();
  }
}

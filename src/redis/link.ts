import type { Link } from '../core/connection.js';
import { withDeadline } from '../core/deadline.js';
import { Disconnection } from '../core/disconnection.js';
import { ConnectionLostError } from '../core/engine-errors.js';
import type { ResponseTimeout } from '../core/response-timeout.js';
import { KeepAlive } from './keep-alive.js';
import { isElsewhere, isReply } from './redis-errors.js';
import type { RedisClient, Route } from './route.js';
import type { Script } from './scripts/index.js';

export interface RedisLinkOptions {
  /** Leads to a client that does not reconnect by itself. */
  readonly route: Route;
  readonly responseTimeout: ResponseTimeout;
  readonly lost: (cause: unknown) => void;
}

/** One connection to the server. */
export class RedisLink implements Link {
  readonly #options: RedisLinkOptions;
  readonly #keepAlive = new KeepAlive(() => void this.#ping());
  /** Ends the search for a server that never answers. */
  readonly #end = new Disconnection();
  #client: RedisClient | undefined;
  #isDestroyed = false;
  #unanswered = 0;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
  }

  async connect(): Promise<void> {
    const { route, lost } = this.#options;
    const client = await this.#end.before(route.find());
    client.on('error', lost);
    // If a client is destroyed before its socket connects, node-redis leaves the socket open, and
    // the process cannot end.
    client.on('connect', () => this.#isDestroyed && client.destroy());
    this.#client = client;
    await client.connect();
  }

  destroy(): void {
    this.#isDestroyed = true;
    this.#keepAlive.stop();
    this.#end.come(new ConnectionLostError('The connection was closed'));
    this.#options.route.destroy();
    this.#client?.destroy();
  }

  /**
   * Sends a command.
   * @param extraTime how much longer than others the command may take, in milliseconds
   * @throws {ConnectionLostError} (a rejection) if the connection is lost before the answer. The
   * server may have executed the command.
   */
  async send(command: readonly string[], extraTime = 0): Promise<unknown> {
    const { responseTimeout, lost } = this.#options;
    if (this.#client === undefined || this.#isDestroyed) throw new ConnectionLostError('There is no connection');
    this.#unanswered += 1;
    try {
      const answer = await withDeadline(
        this.#client.sendCommand(command),
        responseTimeout.milliseconds + extraTime,
        () => {
          responseTimeout.late();
          return new Error('Redis did not answer in time');
        },
      );
      responseTimeout.inTime();
      return answer;
    } catch (error) {
      if (!isReply(error) || isElsewhere(error)) lost(error);
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

  /** Names the connection, unless its client has a name or the user may not name it. */
  setName(name: string): void {
    if (this.#client?.options?.name === undefined) this.send(['CLIENT', 'SETNAME', name]).catch(() => {});
  }

  /** @param interval how long the connection may be idle before a PING, in milliseconds */
  keepAlive(interval: number): void {
    this.#keepAlive.start(interval);
  }

  async #ping(): Promise<void> {
    // A connection that waits for an answer is not idle.
    if (this.#unanswered > 0) return;
    try {
      await this.send(['PING']);
    } catch {
      // A refusal is an answer as well. A lost connection is replaced and logged.
    }
  }
}

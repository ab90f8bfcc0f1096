import { exponentialBackoff } from '../internal/exponential-backoff.js';
import type { Logger } from '../internal/logger.js';
import { ConnectionLostError, HopelessError, isReply, outlookOf } from './failures.js';
import type { Script } from './scripts/index.js';

/** What is used of a client of node-redis. */
export interface RedisClient {
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: 'error', listener: (error: unknown) => void): unknown;
  sendCommand(command: readonly string[]): Promise<unknown>;
}

export interface ConnectionOptions {
  /** What it is for, for messages. */
  readonly title: string;
  /** A new client, which does not reconnect by itself. */
  readonly createClient: () => RedisClient;
  /** Called with each new connection before anybody else may use it. */
  readonly prepare?: (connection: Connection) => Promise<void>;
  /** How long a server may take to answer, in milliseconds: after that, the connection counts as lost. */
  readonly patience: number;
  readonly logger: Logger;
}

interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** How many times the usual patience it has at most, and after how many answers in time it has no more than that again. */
const SLOWEST = 4;
const QUICK_AGAIN = 1000;

const backoff = exponentialBackoff({ initial: 50, max: 5000, jitter: 0.5 });

/** A connection that heals: it connects when it is needed first, and again whenever it is lost, until it is closed. */
export class Connection {
  readonly #options: ConnectionOptions;
  #phase: 'idle' | 'connecting' | 'ready' | 'closed' = 'idle';
  #client: RedisClient | undefined;
  #waiters: Waiter[] = [];
  #pause: NodeJS.Timeout | undefined;
  #trouble: unknown;
  /** By how much longer than usual it waits for answers: a link may be too slow for what comes over it. */
  #slowness = 1;
  /** Answers since the last one that did not come in time. */
  #inTime = 0;

  constructor(options: ConnectionOptions) {
    this.#options = options;
  }

  get isReady(): boolean {
    return this.#phase === 'ready';
  }

  /** Why there is no connection, as far as that is known. */
  get trouble(): unknown {
    return this.isReady ? undefined : this.#trouble;
  }

  /**
   * Resolves once there is a connection; connects if nobody did. Rejects when it is closed, and with the error that no second attempt mends: the next call
   * then tries again.
   */
  ready(): Promise<void> {
    if (this.#phase === 'ready') return Promise.resolve();
    if (this.#phase === 'closed') return Promise.reject(new ConnectionLostError('The connection was closed'));
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      if (this.#phase === 'idle') void this.#connect(1);
    });
  }

  /**
   * Sends a command, over the connection that there is.
   * @param patience how much longer than others it may take, in milliseconds
   * @throws {ConnectionLostError} (a rejection) when there is none, or it is lost before the answer: then the command may have been carried out
   */
  async send(command: readonly string[], patience = 0): Promise<unknown> {
    const client = this.#client;
    if (client === undefined) throw new ConnectionLostError('There is no connection');
    let answered = false;
    // Where the event loop was blocked, the answer may be there and not read yet: it is looked at before the immediate.
    const late = () => setImmediate(() => answered || this.#loseSlow(client));
    const timer = setTimeout(late, this.#options.patience * this.#slowness + patience);
    try {
      const answer = await client.sendCommand(command);
      if (++this.#inTime === QUICK_AGAIN) this.#slowness = 1;
      return answer;
    } catch (error) {
      if (isReply(error)) throw error;
      this.#lose(client, error);
      throw new ConnectionLostError('The connection was lost before the answer', { cause: error });
    } finally {
      answered = true;
      clearTimeout(timer);
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
    if (this.#client !== undefined) this.#lose(this.#client, cause);
  }

  /** Ends it, and whatever waits for it. */
  close(): void {
    if (this.#phase === 'closed') return;
    this.#phase = 'closed';
    clearTimeout(this.#pause);
    this.#client?.destroy();
    this.#client = undefined;
    this.#tell(({ reject }) => reject(new ConnectionLostError('The connection was closed')));
  }

  async #connect(attempt: number): Promise<void> {
    this.#phase = 'connecting';
    let client: RedisClient;
    try {
      client = this.#options.createClient();
    } catch (error) {
      this.#phase = 'idle';
      this.#tell(({ reject }) => reject(new HopelessError('The client cannot be made', { cause: error })));
      return;
    }
    this.#client = client;
    // A client that fails says so in two ways, and the event has the better reason.
    let reason: unknown;
    client.on('error', (error) => {
      reason ??= error;
      this.#lose(client, error);
    });
    const timer = setTimeout(() => {
      reason ??= new Error('Redis did not answer in time');
      client.destroy();
    }, this.#options.patience);
    try {
      await client.connect();
      await this.#options.prepare?.(this);
    } catch (error) {
      client.destroy();
      if (this.#client === client) this.#failed(reason ?? error, attempt);
      return;
    } finally {
      clearTimeout(timer);
    }
    if (this.#client !== client) return;
    this.#phase = 'ready';
    if (attempt > 1) this.#options.logger.warn(`${this.#options.title}: connected again`);
    this.#tell(({ resolve }) => resolve());
  }

  #failed(error: unknown, attempt: number): void {
    if (this.#phase === 'closed') return;
    this.#client = undefined;
    this.#trouble = error;
    if (outlookOf(error) === 'hopeless') {
      this.#phase = 'idle';
      this.#tell(({ reject }) => reject(error));
      return;
    }
    if (attempt === 1) this.#options.logger.warn(`${this.#options.title}: no connection, trying again until there is one`, error);
    this.#pause = setTimeout(() => void this.#connect(attempt + 1), backoff(undefined, attempt));
  }

  /** An answer is overdue. Nobody can see whether some of it has come: next time it may take longer. */
  #loseSlow(client: RedisClient): void {
    this.#slowness = Math.min(SLOWEST, this.#slowness * 2);
    this.#inTime = 0;
    this.#lose(client, new Error('Redis did not answer in time'));
  }

  /** The connection is gone: what waits for an answer hears of it from the client, and a new connection is made. */
  #lose(client: RedisClient, cause: unknown): void {
    if (this.#client !== client || this.#phase !== 'ready') return;
    this.#client = undefined;
    this.#trouble = cause;
    client.destroy();
    this.#options.logger.warn(`${this.#options.title}: the connection was lost, connecting anew`, cause);
    void this.#connect(2);
  }

  #tell(how: (waiter: Waiter) => void): void {
    for (const waiter of this.#waiters.splice(0)) how(waiter);
  }
}

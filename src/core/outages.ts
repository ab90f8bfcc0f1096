import { describeError } from '../internal/describe.js';
import type { Logger } from '../internal/logger.js';

export interface OutageOptions {
  /** The server in messages, such as `Redis at 127.0.0.1:6379`. */
  readonly server: string;
  readonly queue: string;
  /** What the connection is for, such as `publishing`. */
  readonly connection: string;
  readonly logger: Logger;
}

/** An outage of one server, shared by all its connections with the same logger. */
interface Outage {
  /** The queue that lost its connection first. */
  readonly queue: string;
  /** As `performance.now()`, like `over`. */
  readonly since: number;
  /** When the last connection reconnected. */
  over: number;
  /** How many connections are down. */
  down: number;
  /** How many connections reconnected, and the most attempts of one. */
  reconnected: number;
  attempts: number;
  /** Whether the log says that the server refuses connections. */
  refused: boolean;
  ending: NodeJS.Timeout | undefined;
}

/**
 * How long all connections must be back before the outage ends, in milliseconds. They notice the
 * loss of a server at different times.
 */
const CALM = 500;

/** The current outages, by logger and server. */
const outages = new WeakMap<Logger, Map<string, Outage>>();

/**
 * Reports the outages of a server, as one connection sees them. Logs the first loss, and the end
 * when all connections are back. The details of each connection go to `debug`.
 */
export class Outages {
  readonly #options: OutageOptions;
  /** The last outage that the connection was part of. */
  #outage: Outage | undefined;
  #isDown = false;
  /** The attempts to connect in that outage. */
  #attempts = 0;
  #wasBack = false;

  constructor(options: OutageOptions) {
    this.#options = options;
  }

  lost(error: unknown): void {
    this.#add('lost the connection to', error, 'Reconnecting', false);
  }

  failed(error: unknown, refused: boolean): void {
    this.#add('cannot connect to', error, 'Trying again', refused);
    this.#attempts += 1;
  }

  connected(): void {
    const outage = this.#outage;
    if (!this.#isDown || outage === undefined) return;
    this.#attempts += 1;
    outage.attempts = Math.max(outage.attempts, this.#attempts);
    outage.over = performance.now();
    if (!this.#wasBack) outage.reconnected += 1;
    this.#wasBack = true;
    this.left();
  }

  /** The connection was dropped or closed. */
  left(): void {
    const outage = this.#outage;
    if (!this.#isDown || outage === undefined) return;
    this.#isDown = false;
    outage.down -= 1;
    if (outage.down > 0) return;
    // All its connections were closed: it has no end to log.
    if (outage.reconnected === 0) {
      this.#end(outage);
      return;
    }
    outage.ending = setTimeout(() => this.#end(outage), CALM);
    outage.ending.unref();
  }

  /** Logs a pending end at once: no timer may outlast the connection. */
  closed(): void {
    this.left();
    if (this.#outage?.ending !== undefined) this.#end(this.#outage);
  }

  #add(what: string, error: unknown, next: string, refused: boolean): void {
    const { server, queue, connection, logger } = this.#options;
    const { outage, isNew } = outageOf(this.#options);
    const isRefusal = refused && !outage.refused;
    this.#join(outage);
    outage.refused ||= refused;
    const line = `Queue ${JSON.stringify(queue)} ${what} ${server}: ${describeError(error)}. ${next}.`;
    if (isNew || isRefusal) logger.warn(line, { queue });
    logger.debug(`${line} Connection: ${connection}.`, { queue, error });
  }

  #join(outage: Outage): void {
    clearTimeout(outage.ending);
    outage.ending = undefined;
    if (this.#outage !== outage) {
      this.#attempts = 0;
      this.#wasBack = false;
    }
    this.#outage = outage;
    if (!this.#isDown) outage.down += 1;
    this.#isDown = true;
  }

  #end(outage: Outage): void {
    const { server, logger } = this.#options;
    const { queue, since, over, reconnected, attempts } = outage;
    clearTimeout(outage.ending);
    outage.ending = undefined;
    outages.get(logger)?.delete(server);
    if (reconnected === 0) return;
    const tried = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
    const many = reconnected === 1 ? '' : `, ${reconnected} connections`;
    logger.warn(`Reconnected to ${server} after ${((over - since) / 1000).toFixed(1)} s, ${tried}${many}`, { queue });
  }
}

function outageOf({ server, queue, logger }: OutageOptions): { readonly outage: Outage; readonly isNew: boolean } {
  const known = outages.get(logger) ?? new Map<string, Outage>();
  outages.set(logger, known);
  const current = known.get(server);
  if (current !== undefined) return { outage: current, isNew: false };
  const since = performance.now();
  const outage = { queue, since, over: since, down: 0, reconnected: 0, attempts: 0, refused: false, ending: undefined };
  known.set(server, outage);
  return { outage, isNew: true };
}

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

/** An outage of one server, as all connections to it that have the same logger see it. */
interface Outage {
  /** How many attempts of each disconnected connection have failed. */
  readonly down: Map<Outages, number>;
  /** When it began, as `performance.now()`. */
  since: number;
  /** How many connections it has interrupted. */
  connections: number;
  /** The most attempts that a connection needed. */
  attempts: number;
  /** Whether the log says that the server refuses connections. */
  refused: boolean;
  summary: NodeJS.Timeout | undefined;
}

/**
 * How long all connections must be back before the outage counts as over, in milliseconds. Connections
 * notice the loss of one server at different times.
 */
const CALM = 500;

const outages = new WeakMap<Logger, Map<string, Outage>>();

/**
 * Tells the outages of a server, as one connection sees them. The first loss is logged, and the end, when all connections are
 * back. What happens to each connection goes to `debug`.
 */
export class Outages {
  readonly #options: OutageOptions;
  readonly #outage: Outage;

  constructor(options: OutageOptions) {
    this.#options = options;
    this.#outage = outageOf(options);
  }

  /** The connection was lost. */
  lost(error: unknown): void {
    this.#add('lost the connection to', error, 'Reconnecting', false);
  }

  /** An attempt to connect failed, and another will follow. */
  failed(error: unknown, refused: boolean): void {
    this.#add('cannot connect to', error, 'Trying again', refused);
    this.#outage.down.set(this, (this.#outage.down.get(this) ?? 0) + 1);
  }

  /** The connection is there. */
  connected(): void {
    const failed = this.#outage.down.get(this);
    if (failed === undefined) return;
    this.#outage.attempts = Math.max(this.#outage.attempts, failed + 1);
    this.left();
  }

  /** The connection is given up or closed. */
  left(): void {
    const outage = this.#outage;
    if (!outage.down.delete(this) || outage.down.size > 0) return;
    const over = performance.now();
    outage.summary = setTimeout(() => this.#summarize(over), CALM);
    outage.summary.unref();
  }

  #add(what: string, error: unknown, next: string, refused: boolean): void {
    const { server, queue, connection, logger } = this.#options;
    const outage = this.#outage;
    const isNews = outage.summary === undefined && outage.down.size === 0;
    const isRefusal = refused && !outage.refused;
    clearTimeout(outage.summary);
    outage.summary = undefined;
    if (isNews) outage.since = performance.now();
    if (!outage.down.has(this)) {
      outage.down.set(this, 0);
      outage.connections += 1;
    }
    outage.refused ||= refused;
    const line = `Queue ${JSON.stringify(queue)} ${what} ${server}: ${describeError(error)}. ${next}.`;
    if (isNews || isRefusal) logger.warn(line, { queue });
    logger.debug(`${line} Connection: ${connection}.`, { queue, error });
  }

  #summarize(over: number): void {
    const { server, queue, logger } = this.#options;
    const { since, connections, attempts } = this.#outage;
    Object.assign(this.#outage, NO_OUTAGE);
    if (attempts === 0) return;
    const tried = attempts === 1 ? '1 attempt' : `${attempts} attempts`;
    const many = connections === 1 ? '' : `, ${connections} connections`;
    logger.warn(`Reconnected to ${server} after ${((over - since) / 1000).toFixed(1)} s, ${tried}${many}`, { queue });
  }
}

const NO_OUTAGE = { since: 0, connections: 0, attempts: 0, refused: false, summary: undefined };

function outageOf({ server, logger }: OutageOptions): Outage {
  const known = outages.get(logger) ?? new Map<string, Outage>();
  outages.set(logger, known);
  const outage = known.get(server) ?? { down: new Map(), ...NO_OUTAGE };
  known.set(server, outage);
  return outage;
}

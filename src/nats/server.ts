import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Connection } from '../core/connection.js';
import { within } from '../core/deadline.js';
import { EngineErrors, FatalError } from '../core/engine-errors.js';
import type { QueueEvents } from '../core/events.js';
import { connectTimeoutFor, responseTimeoutFor } from '../core/options.js';
import { BackendUnavailableError } from '../errors.js';
import { LONGEST_TIMER } from '../internal/after.js';
import type { Logger } from '../internal/logger.js';
import { greeted } from './greeting.js';
import { Pace } from './heartbeat.js';
import { NatsLink } from './link.js';
import { queueNames } from './names.js';
import { isWithoutJetStream, NATS_FAILURES } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';
import { DELETION } from './topology.js';
import { NATS_URL, parseUrl } from './url.js';

/** The oldest server that has what the queue needs. */
const OLDEST = [2, 9] as const;

/** How often a connection that was handed in is looked at, until it is connected again, in milliseconds. */
const LOOK = 50;

/** How long others may take to greet once a server has, in milliseconds. */
const MORE = 20;

/** Where the queue is, and how to connect to it. */
export class Server {
  readonly failures: EngineErrors;
  readonly #options: CheckedNatsOptions;
  readonly #where: string;
  readonly #patience: number;
  readonly #logger: Logger;
  readonly #pace: Pace;
  /** JetStream was there before. */
  #known = false;

  constructor(options: CheckedNatsOptions) {
    const { server, name, logger } = options;
    this.#options = options;
    this.#patience = responseTimeoutFor(options);
    this.#pace = new Pace(options.publishTimeout);
    this.#logger = logger;
    this.#where =
      'url' in server ? (NATS_URL.whereOf(server.url) as string) : 'the server of the connection that was handed in';
    this.failures = new EngineErrors(NATS_FAILURES, { queue: name, server: this.#where });
  }

  /** A connection that is made when it is needed; `prepare` is called with each new one. */
  connect(events: QueueEvents, prepare: (link: NatsLink) => Promise<void>): Connection<NatsLink> {
    const { server, name, lease, domain } = this.#options;
    return new Connection({
      server: `NATS at ${this.#where}`,
      queue: name,
      events,
      connection: 'everything',
      engine: this.failures.engine,
      classify: this.failures.classify,
      createLink: (lost) => {
        const own = 'url' in server;
        return new NatsLink({
          own,
          open: (signal) =>
            own ? this.#open(server.url, signal) : awake(server.client as NatsConnection, this.#patience),
          patience: this.#patience,
          domain,
          pace: this.#pace,
          lost,
        });
      },
      prepare: async (link) => {
        await this.#checkServer(link);
        await prepare(link);
      },
      // A missing stream is created again after a pause.
      connectTimeout: connectTimeoutFor(lease) + DELETION,
      logger: this.#logger,
    });
  }

  async #open(url: string, signal: AbortSignal): Promise<NatsConnection> {
    const address = parseUrl(url);
    if (address === undefined) throw new FatalError('The URL cannot be read');
    const { servers, tls, ...login } = address;
    return connect({
      servers: await awakeOf(servers, this.#patience, signal),
      ...login,
      ...(tls && { tls: {} }),
      name: `sluice ${this.#options.name}`,
      inboxPrefix: queueNames(this.#options.name).inbox,
      // No second way to reconnect beside ours.
      reconnect: false,
      timeout: this.#patience,
      // The link pings by itself, and knows of slow links.
      pingInterval: LONGEST_TIMER,
      noAsyncTraces: true,
    });
  }

  /** @throws {BackendUnavailableError} (a rejection) when the server is too old, or has no JetStream */
  async #checkServer(link: NatsLink): Promise<void> {
    const { version = '' } = link.connection.info ?? {};
    const [major = 0, minor = 0] = version.split('.').map(Number);
    if (version !== '' && (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])))
      throw this.#unusable(`Expected a server of version ${OLDEST.join('.')} or newer, got ${version}`);
    const { domain } = this.#options;
    try {
      await link.manager.getAccountInfo();
      this.#known = true;
    } catch (error) {
      // Its leaf node or its hub may be away for now.
      if (domain !== undefined && isWithoutJetStream(error))
        throw this.#unusable(`The JetStream domain "${domain}" does not answer`, error, true);
      // A server that is starting has it later.
      if (this.#known || !isWithoutJetStream(error)) throw error;
      throw this.#unusable(
        'Expected a server with JetStream, which is not enabled there, or not for this account (nats-server --jetstream)',
        error,
      );
    }
  }

  #unusable(what: string, cause?: unknown, retryable = false): BackendUnavailableError {
    return new BackendUnavailableError(`${what} (queue "${this.#options.name}", NATS at ${this.#where})`, {
      retryable,
      cause,
    });
  }
}

/** The servers that greet, as soon as one does; rejects with the reason of the first where none does. */
async function awakeOf(servers: readonly string[], patience: number, signal: AbortSignal): Promise<string[]> {
  const awake: string[] = [];
  const greetings = servers.map(async (server) => {
    await greeted(server, patience, signal);
    awake.push(server);
  });
  const all = Promise.allSettled(greetings);
  try {
    await Promise.any(greetings);
  } catch {
    // All have failed for reasons of their own: the first says more than a list of them.
    const [first] = await all;
    if (first?.status === 'rejected') throw first.reason;
  }
  // Those that are as quick share the load.
  await within(MORE, all);
  return [...awake];
}

/** A connection that was handed in, once it is connected. */
async function awake(client: NatsConnection, patience: number): Promise<NatsConnection> {
  const deadline = performance.now() + patience;
  for (;;) {
    if (client.isClosed())
      throw new FatalError('', { cause: new Error('the connection that was handed in is closed') });
    // A round trip: it does not come back while the connection is down.
    const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), LOOK).unref());
    const up = await Promise.race([
      client.flush().then(
        () => true as const,
        () => false as const,
      ),
      late,
    ]);
    if (up) return client;
    // One that fails at once is not asked again at once.
    await late;
    if (performance.now() > deadline) throw new Error('The connection that was handed in did not come back in time');
  }
}

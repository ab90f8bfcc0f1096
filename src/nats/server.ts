import { connect as connectSocket } from 'node:net';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { Connection } from '../core/connection.js';
import { within } from '../core/deadline.js';
import { EngineErrors, FatalError } from '../core/engine-errors.js';
import type { QueueEvents } from '../core/events.js';
import { connectTimeoutFor, responseTimeoutFor } from '../core/options.js';
import { BackendUnavailableError } from '../errors.js';
import { LONGEST_TIMER } from '../internal/after.js';
import { Pace } from './heartbeat.js';
import { NatsLink } from './link.js';
import { queueNames } from './names.js';
import { isWithoutJetStream, NATS_FAILURES } from './nats-errors.js';
import type { CheckedNatsOptions } from './options.js';
import { DELETION } from './topology.js';
import { NATS_URL, parseUrl } from './url.js';

const OLDEST_VERSION = [2, 9] as const;

/** The pause between two checks whether a client of the user is connected, in milliseconds. */
const CHECK_PAUSE = 50;

/** How long the other servers may take to greet after the first one, in milliseconds. */
const GREETING_MARGIN = 20;

const GREETING = 'INFO ';

/** The server of a queue, and how to connect to it. */
export class Server {
  readonly failures: EngineErrors;
  readonly #options: CheckedNatsOptions;
  readonly #where: string;
  readonly #timeout: number;
  readonly #pace: Pace;
  #hadJetStream = false;

  constructor(options: CheckedNatsOptions) {
    const { server, name, publishTimeout } = options;
    this.#options = options;
    this.#timeout = responseTimeoutFor(options);
    this.#pace = new Pace(publishTimeout);
    this.#where =
      'url' in server ? (NATS_URL.whereOf(server.url) as string) : 'the server of the connection that was handed in';
    this.failures = new EngineErrors(NATS_FAILURES, { queue: name, server: this.#where });
  }

  /** @param prepare prepares each new link */
  connect(events: QueueEvents, prepare: (link: NatsLink) => Promise<void>): Connection<NatsLink> {
    const { server, name, lease, domain, logger } = this.#options;
    const own = 'url' in server;
    const open = (signal: AbortSignal) =>
      own ? this.#open(server.url, signal) : connected(server.client as NatsConnection, this.#timeout);
    return new Connection({
      server: `NATS at ${this.#where}`,
      queue: name,
      events,
      connection: 'everything',
      engine: this.failures.engine,
      classify: this.failures.classify,
      createLink: (lost) => new NatsLink({ own, open, timeout: this.#timeout, domain, pace: this.#pace, lost }),
      prepare: async (link) => {
        await this.#checkServer(link);
        await prepare(link);
      },
      // A missing stream is created again after a pause.
      connectTimeout: connectTimeoutFor(lease) + DELETION,
      lease,
      logger,
    });
  }

  async #open(url: string, signal: AbortSignal): Promise<NatsConnection> {
    const address = parseUrl(url);
    if (address === undefined) throw new FatalError('The URL cannot be read');
    const { servers, tls, ...login } = address;
    return connect({
      servers: await greetingServers(servers, this.#timeout, signal),
      ...login,
      ...(tls && { tls: {} }),
      name: `sluice ${this.#options.name}`,
      inboxPrefix: queueNames(this.#options.name).inbox,
      // `Connection` reconnects.
      reconnect: false,
      timeout: this.#timeout,
      // The link pings, and knows whether it is slow.
      pingInterval: LONGEST_TIMER,
      noAsyncTraces: true,
    });
  }

  /** @throws {BackendUnavailableError} if the server is too old, or has no JetStream */
  async #checkServer(link: NatsLink): Promise<void> {
    const { version = '' } = link.connection.info ?? {};
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const [oldestMajor, oldestMinor] = OLDEST_VERSION;
    if (version !== '' && (major < oldestMajor || (major === oldestMajor && minor < oldestMinor)))
      throw this.#unusable(`Expected a server of version ${OLDEST_VERSION.join('.')} or newer, got ${version}`);
    const { domain } = this.#options;
    try {
      await link.manager.getAccountInfo();
      this.#hadJetStream = true;
    } catch (error) {
      // The leaf node or the hub of the domain may be unavailable for now.
      if (domain !== undefined && isWithoutJetStream(error))
        throw this.#unusable(`The JetStream domain "${domain}" does not answer`, error, true);
      // A server that is starting enables JetStream later.
      if (this.#hadJetStream || !isWithoutJetStream(error)) throw error;
      throw this.#unusable(
        'JetStream is not enabled on the server, or not for this account. Start it with nats-server --jetstream',
        error,
      );
    }
  }

  #unusable(reason: string, cause?: unknown, retryable = false): BackendUnavailableError {
    return new BackendUnavailableError(`${reason} (queue "${this.#options.name}", NATS at ${this.#where})`, {
      retryable,
      cause,
    });
  }
}

/** Returns the servers that greet, as soon as one does. Otherwise rejects as the first one does. */
async function greetingServers(servers: readonly string[], timeout: number, signal: AbortSignal): Promise<string[]> {
  const greeting: string[] = [];
  const attempts = servers.map(async (server) => {
    await greeted(server, timeout, signal);
    greeting.push(server);
  });
  const all = Promise.allSettled(attempts);
  try {
    await Promise.any(attempts);
  } catch {
    // The reason of the first says more than a list of all reasons.
    const [first] = await all;
    if (first?.status === 'rejected') throw first.reason;
  }
  // Servers that are about as fast share the load.
  await within(GREETING_MARGIN, all);
  return [...greeting];
}

/**
 * Waits until a server greets, over a connection of its own.
 *
 * Works around a defect of `@nats-io/transport-node` (3.0 to 3.4): `NodeTransport.close()` does not
 * destroy its socket before the server has sent `INFO`. After the timeout of `connect`, each
 * attempt leaves a socket open. `spec/nats/client-internals.spec.ts` fails when that is fixed.
 * @param address host and port
 * @param timeout in milliseconds
 */
function greeted(address: string, timeout: number, signal: AbortSignal): Promise<void> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ host, port: Number(address.slice(colon + 1)) });
    const end = (error?: Error) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.destroy();
      if (error === undefined) resolve();
      else reject(error);
    };
    const abort = () => end(new Error('The connection was closed'));
    signal.addEventListener('abort', abort);
    const timer = setTimeout(() => end(new Error('NATS did not answer in time')), timeout);
    let received = '';
    socket.setEncoding('latin1');
    socket.on('data', (text) => {
      received += text;
      if (!received.startsWith(GREETING.slice(0, received.length)))
        end(new Error('unexpected response from server: it is not NATS'));
      else if (received.length >= GREETING.length) end();
    });
    socket.on('error', end);
    socket.on('close', () => end(new Error('The server closed the connection before it greeted')));
  });
}

/** Returns a connection of the user when it is connected. */
async function connected(client: NatsConnection, timeout: number): Promise<NatsConnection> {
  const deadline = performance.now() + timeout;
  for (;;) {
    if (client.isClosed())
      throw new FatalError('', { cause: new Error('the connection that was handed in is closed') });
    // While the connection is down, the round trip does not end.
    const pause = new Promise<false>((resolve) => setTimeout(() => resolve(false), CHECK_PAUSE).unref());
    const roundTrip = client.flush().then(
      () => true,
      () => false,
    );
    if (await Promise.race([roundTrip, pause])) return client;
    await pause;
    if (performance.now() > deadline) throw new Error('The connection that was handed in did not come back in time');
  }
}

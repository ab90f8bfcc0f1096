import type { AnyEvents, EventMap, PublishArguments, PublishOptions, QueueKey, QueuePayload } from '../backend.js';
import { MessageIds } from '../core/message-ids.js';
import { PullBackend, writeMessage } from '../core/pull-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkMethods, checkOptions } from '../internal/options.js';
import { checkPostgresOptions, type PostgresBackendOptions, readPostgresEnv } from './options.js';
import { PostgresDriver } from './postgres-driver.js';
import type { Queryable } from './queryable.js';

export interface PostgresFromEnvOptions {
  /** Receives warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

/** Publishes within a transaction of the application. */
export interface TransactionalPublisher<Events extends EventMap<Events> = AnyEvents> {
  /**
   * Stores a message if and only if the transaction commits. The message takes its place in the
   * queue then.
   * @throws {InvalidMessageError} (a rejection, like all others) if the key, a header or the
   * payload is invalid
   * @throws {ConfigurationError} if `groups` does not declare the group
   * @throws {QueueClosedError} after `close()`
   * @throws the error of the client, if the statement fails. The transaction is aborted then.
   */
  publish(...message: PublishArguments<Events>): Promise<void>;
}

/**
 * A queue in PostgreSQL 14 or newer, or in an embedded PostgreSQL (PGlite), with at-least-once
 * delivery to any number of processes.
 *
 * *When to use*: if the application has a PostgreSQL already, and above all to publish in the
 * transaction that changes its data, see `within`.
 *
 * *Gotchas*: a message stays until every group that exists has settled it, so a group without a
 * consumer fills the database. Behind PgBouncer in transaction mode, set `pollInterval`. A
 * transaction that stays open for hours keeps the server from removing settled messages from disk.
 *
 * The backend connects with the first publish or subscriber, and creates its tables then. It
 * reconnects by itself: consumers resume, and publishes wait up to `publishTimeout`.
 *
 * @example
 * ```ts
 * const queue = new PostgresBackend({ url: 'postgres://localhost/shop', name: 'orders' });
 * await queue.publish('order.placed', { id: 1 });
 * for await (const delivery of queue.deliveries()) console.log(delivery.payload);
 * ```
 */
export class PostgresBackend<Events extends EventMap<Events> = AnyEvents> extends PullBackend<Events> {
  readonly #driver: PostgresDriver;
  readonly #ids = new MessageIds();

  /**
   * Creates the backend, without connecting.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   */
  constructor(options: PostgresBackendOptions) {
    const checked = checkPostgresOptions(options);
    const driver = new PostgresDriver(checked);
    super(driver, { ...checked, groups: checked.groupsDeclared ? checked.groups : undefined });
    this.#driver = driver;
  }

  /**
   * Creates the backend from the environment: `POSTGRES_URL`, and optionally `POSTGRES_SCHEMA`,
   * `POSTGRES_MIGRATE` (`true` or `false`), `POSTGRES_POLL_INTERVAL` (milliseconds), `QUEUE_NAME`
   * (default: `default`), `QUEUE_GROUPS` (separated by commas; default: `default`), `QUEUE_LEASE`,
   * `QUEUE_PUBLISH_TIMEOUT` and `QUEUE_DEDUPE_WINDOW` (milliseconds; default: 30,000, 10,000 and
   * 120,000), and `QUEUE_CREATE` (`true` or `false`).
   * @throws {ConfigurationError} if a variable is missing or malformed. The message names the
   * variable.
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: PostgresFromEnvOptions,
  ): PostgresBackend<Events> {
    return new PostgresBackend({ ...readPostgresEnv(env), logger: checkOptions(options).logger });
  }

  override deleteQueue(): Promise<void> {
    return this.#driver.whileDeleting(() => super.deleteQueue());
  }

  /**
   * Publishes within a transaction of the application.
   * @param transaction whatever runs SQL in it: a client of `pg`, a transaction of PGlite, or an
   * object with `query(text, values)` that calls another library
   * @throws {TypeError} if it has no `query`
   */
  within(transaction: Queryable): TransactionalPublisher<Events> {
    checkMethods('transaction', transaction, ['query']);
    const publish = async (key: QueueKey, payload: QueuePayload, options?: PublishOptions) => {
      options?.signal?.throwIfAborted();
      const message = writeMessage(this.checked(key, payload, options), this.#ids, this.#driver);
      await this.#driver.publishWithin(transaction, message);
    };
    return { publish: publish as TransactionalPublisher<Events>['publish'] };
  }
}

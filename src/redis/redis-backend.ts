import type { AnyEvents, EventMap } from '../backend.js';
import { DriverBackend } from '../core/driver-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkOptions } from '../internal/options.js';
import { checkRedisOptions, type RedisBackendOptions, readRedisEnv } from './options.js';
import { RedisDriver } from './redis-driver.js';

export interface RedisFromEnvOptions {
  /** Receives warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue on Redis Streams, with at-least-once delivery to any number of processes. For Redis 6.2
 * and newer, and Valkey.
 *
 * *When to use*: in production, with a Redis that persists: `appendonly yes`. With
 * `appendfsync always`, no confirmed message is lost if the machine fails.
 *
 * *Gotchas*: a message stays until every group that exists has settled it, so a group without a
 * consumer fills the server. Without `groups`, the backend creates `default` if the queue has
 * no group, or if the process consumes for `default`. A handler that blocks the event loop for
 * longer than `lease` loses its messages to another consumer.
 *
 * The backend connects with the first publish or subscriber. It reconnects by itself: consumers
 * resume, and publishes wait up to `publishTimeout`.
 *
 * @example
 * ```ts
 * const queue = new RedisBackend({ url: 'redis://localhost:6379', name: 'orders' });
 * await queue.publish('order.placed', { id: 1 });
 * for await (const delivery of queue.deliveries()) console.log(delivery.payload);
 * ```
 */
export class RedisBackend<Events extends EventMap<Events> = AnyEvents> extends DriverBackend<Events> {
  /**
   * Creates the backend, without connecting.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   */
  constructor(options: RedisBackendOptions) {
    const checked = checkRedisOptions(options);
    super(checked, new RedisDriver(checked));
  }

  /**
   * Creates the backend from the environment: `REDIS_URL`, and optionally `QUEUE_NAME` (default:
   * `default`), `QUEUE_GROUPS` (separated by commas; default: `default`), `QUEUE_LEASE`,
   * `QUEUE_PUBLISH_TIMEOUT` and `QUEUE_DEDUPE_WINDOW` (milliseconds; default: 30,000, 10,000 and
   * 120,000), and `QUEUE_CREATE` (`true` or `false`).
   * @throws {ConfigurationError} if a variable is missing or malformed. The message names the
   * variable.
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: RedisFromEnvOptions,
  ): RedisBackend<Events> {
    return new RedisBackend({ ...readRedisEnv(env), logger: checkOptions(options).logger });
  }
}

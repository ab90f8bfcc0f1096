import type { AnyEvents, EventMap } from '../backend.js';
import { DriverBackend } from '../core/driver-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkOptions } from '../internal/options.js';
import { checkRedisOptions, type RedisBackendOptions, readRedisEnv } from './options.js';
import { RedisDriver } from './redis-driver.js';

export interface RedisFromEnvOptions {
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue on Redis Streams, for Redis 6.2 and newer, and Valkey: at least once, for any number of processes.
 *
 * *When to use*: in production, where there is a Redis that keeps what it has confirmed: `appendonly yes`, and `appendfsync always` where not one confirmed
 * message may be lost when its machine fails.
 *
 * *Gotchas*: a message stays until every group that exists has settled it, so a group without a
 * consumer fills the server. Without `groups`, the backend creates `default` if the queue has
 * no group, or if the process consumes for `default`. A handler that blocks the event loop for
 * longer than `lease` loses its messages to another consumer.
 *
 * Connects with the first publish or the first subscriber, and heals a lost connection by itself: consumers go on, publishes wait for `publishTimeout`.
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
   * Does not connect yet.
   * @throws {TypeError | RangeError} for an option without sense; it names the option
   */
  constructor(options: RedisBackendOptions) {
    const checked = checkRedisOptions(options);
    super(checked, new RedisDriver(checked));
  }

  /**
   * The queue that the environment names: `REDIS_URL`, and optionally `QUEUE_NAME` (default: `default`), `QUEUE_GROUPS` (a list with commas; default:
   * `default`), `QUEUE_LEASE` and `QUEUE_PUBLISH_TIMEOUT` (milliseconds; default: 30,000 and 10,000).
   * @throws {ConfigurationError} for a missing or malformed variable; it names the variable
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: RedisFromEnvOptions,
  ): RedisBackend<Events> {
    return new RedisBackend({ ...readRedisEnv(env), logger: checkOptions(options).logger });
  }
}

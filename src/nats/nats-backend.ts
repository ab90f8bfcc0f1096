import type { AnyEvents, EventMap } from '../backend.js';
import { DriverBackend } from '../core/driver-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkOptions } from '../internal/options.js';
import { NatsDriver } from './nats-driver.js';
import { checkNatsOptions, type NatsBackendOptions, readNatsEnv } from './options.js';

export interface NatsFromEnvOptions {
  /** Gets warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue on NATS JetStream, for NATS 2.9 and newer: at least once, for any number of processes.
 *
 * *When to use*: in production, if you run NATS with JetStream. Set `replicas: 3` on a cluster, so
 * that no confirmed message is lost when one machine fails.
 *
 * *Gotchas*: the server keeps a message until every group has settled it, so a group without a
 * consumer fills the server. A backend without `groups` creates the group `default` only if the
 * queue has no group yet, or if a consumer subscribes to it. `attempt` also counts the releases of
 * other processes, since the server counts deliveries. Deleting the consumer of a group deletes the
 * group with its messages. A handler that blocks the event loop for longer than `lease` loses its
 * messages to another consumer.
 *
 * Connects with the first publish or the first subscriber. Reconnects by itself: consumers resume,
 * and publishes wait for `publishTimeout`.
 *
 * @example
 * ```ts
 * const queue = new NatsBackend({ url: 'nats://localhost:4222', name: 'orders' });
 * await queue.publish('order.placed', { id: 1 });
 * for await (const delivery of queue.deliveries()) console.log(delivery.payload);
 * ```
 */
export class NatsBackend<Events extends EventMap<Events> = AnyEvents> extends DriverBackend<Events> {
  /**
   * Does not connect yet.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   */
  constructor(options: NatsBackendOptions) {
    const checked = checkNatsOptions(options);
    super(checked, new NatsDriver(checked));
  }

  /**
   * Creates a queue from the environment: `NATS_URL`, and optionally `QUEUE_NAME` (default:
   * `default`), `QUEUE_GROUPS` (a list with commas; default: `default`), `QUEUE_LEASE`,
   * `QUEUE_PUBLISH_TIMEOUT` and `QUEUE_DEDUPE_WINDOW` (milliseconds; default: 30,000, 10,000 and
   * 120,000), `QUEUE_CREATE` (default: `true`), `NATS_DOMAIN` (default: the domain of the server).
   * @throws {ConfigurationError} if a variable is missing or malformed. The message names the
   * variable.
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: NatsFromEnvOptions,
  ): NatsBackend<Events> {
    return new NatsBackend({ ...readNatsEnv(env), logger: checkOptions(options).logger });
  }
}

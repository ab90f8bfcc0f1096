import type { AnyEvents, EventMap } from '../backend.js';
import { DriverBackend } from '../core/driver-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkOptions } from '../internal/options.js';
import { checkRabbitMqOptions, type RabbitMqBackendOptions, readRabbitMqEnv } from './options.js';
import { RabbitMqDriver } from './rabbitmq-driver.js';

export interface RabbitMqFromEnvOptions {
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue on RabbitMQ, for version 3.10 and newer: at least once, for any number of processes. Every group is a quorum queue.
 *
 * *When to use*: in production, where there is a RabbitMQ. What it has confirmed is on the disks of a majority of its nodes.
 *
 * *Gotchas*: a backend without `groups` creates the group `default`, also where the queue has other groups. A message stays until every group
 * that exists has settled it, so a group without a consumer fills the server. A group that is added to `groups` starts with the next message. A message that was on its way when the connection was lost is sent again, and
 * may be stored twice, under one `id`. RabbitMQ does not deduplicate: `publish` stores a second message with the same `id`, and `dedupeWindow` has no effect. `attempt` also counts what another process released. A delay is at most some 49 days, in steps of 16 ms. `stats()` know of what is out
 * only in this process. The broker's `consumer_timeout`, 30 minutes by default, must be longer than prefetch ÷ concurrency × the time that a handler takes:
 * the broker takes back a message that is in flight for longer.
 *
 * Connects with the first publish or the first subscriber, and heals a lost connection by itself: consumers go on, publishes wait for `publishTimeout`.
 *
 * @example
 * ```ts
 * const queue = new RabbitMqBackend({ url: 'amqp://localhost:5672', name: 'orders' });
 * await queue.publish('order.placed', { id: 1 });
 * for await (const delivery of queue.deliveries()) console.log(delivery.payload);
 * ```
 */
export class RabbitMqBackend<Events extends EventMap<Events> = AnyEvents> extends DriverBackend<Events> {
  /**
   * Does not connect yet.
   * @throws {TypeError | RangeError} for an option without sense; it names the option
   */
  constructor(options: RabbitMqBackendOptions) {
    const checked = checkRabbitMqOptions(options);
    super(checked, new RabbitMqDriver(checked));
  }

  /**
   * The queue that the environment names: `RABBITMQ_URL`, and optionally `QUEUE_NAME` (default: `default`), `QUEUE_GROUPS` (a list with commas; default:
   * `default`), `QUEUE_LEASE` and `QUEUE_PUBLISH_TIMEOUT` (milliseconds; default: 30,000 and 10,000).
   * @throws {ConfigurationError} for a missing or malformed variable; it names the variable
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: RabbitMqFromEnvOptions,
  ): RabbitMqBackend<Events> {
    return new RabbitMqBackend({ ...readRabbitMqEnv(env), logger: checkOptions(options).logger });
  }
}

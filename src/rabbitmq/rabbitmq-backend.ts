import type { AnyEvents, EventMap } from '../backend.js';
import { DriverBackend } from '../core/driver-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkOptions } from '../internal/options.js';
import { checkRabbitMqOptions, type RabbitMqBackendOptions, readRabbitMqEnv } from './options.js';
import { RabbitMqDriver } from './rabbitmq-driver.js';

export interface RabbitMqFromEnvOptions {
  /** Receives warnings and errors. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue on RabbitMQ 3.10 or newer: at least once, for any number of processes. Every group is a
 * quorum queue.
 *
 * *When to use*: in production, if you run RabbitMQ. A confirmed message is on the disks of a
 * majority of its nodes.
 *
 * *Gotchas*:
 * - A backend without `groups` creates the group `default`, even if the queue has other groups,
 *   unless `create` is false.
 * - `deleteQueue()` leaves the groups that the backend does not declare, except `default`: AMQP
 *   cannot list queues.
 * - A message stays until every group has settled it, so a group without a consumer fills the
 *   server. A group that is added to `groups` starts with the next message.
 * - RabbitMQ does not deduplicate: `publish` stores a second message with the same `id`, and
 *   `dedupeWindow` has no effect. A message whose confirm was lost with the connection is sent
 *   again
 *   and may be stored twice, with one `id`.
 * - `attempt` also counts the releases of other processes. `stats()` counts messages in flight in
 *   this process only.
 * - A delay is at most 49 days, in steps of 16 ms.
 * - The broker requeues a message that is in flight for longer than its `consumer_timeout`, 30
 *   minutes by default. It must be longer than prefetch ÷ concurrency × the time of a handler.
 *
 * The backend connects with the first publish or subscriber. It reconnects by itself: consumers
 * resume, and publishes wait up to `publishTimeout`.
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
   * Creates the backend, without connecting.
   * @throws {TypeError | RangeError} if an option is invalid. The message names the option.
   */
  constructor(options: RabbitMqBackendOptions) {
    const checked = checkRabbitMqOptions(options);
    super(checked, new RabbitMqDriver(checked));
  }

  /**
   * Creates the backend from the environment: `RABBITMQ_URL`, and optionally `QUEUE_NAME` (default:
   * `default`), `QUEUE_GROUPS` (separated by commas; default: `default`), `QUEUE_LEASE` and
   * `QUEUE_PUBLISH_TIMEOUT` (milliseconds; default: 30,000 and 10,000), and `QUEUE_CREATE` (default:
   * `true`).
   * @throws {ConfigurationError} if a variable is missing or malformed. The message names the
   * variable.
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: RabbitMqFromEnvOptions,
  ): RabbitMqBackend<Events> {
    return new RabbitMqBackend({ ...readRabbitMqEnv(env), logger: checkOptions(options).logger });
  }
}

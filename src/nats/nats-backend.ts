import type { AnyEvents, EventMap } from '../backend.js';
import { DriverBackend } from '../core/driver-backend.js';
import { type Env, processEnv } from '../internal/environment.js';
import type { Logger } from '../internal/logger.js';
import { checkOptions } from '../internal/options.js';
import { NatsDriver } from './nats-driver.js';
import { checkNatsOptions, type NatsBackendOptions, readNatsEnv } from './options.js';

export interface NatsFromEnvOptions {
  /** Where warnings and errors go. Default: the console. */
  readonly logger?: Logger | undefined;
}

/**
 * A queue on NATS JetStream, for NATS 2.9 and newer: at least once, for any number of processes.
 *
 * *When to use*: in production, where there is NATS with JetStream; with `replicas: 3` on a cluster, where not one confirmed message may be lost when one of its
 * machines fails.
 *
 * *Gotchas*: a message stays until every group that exists has settled it, so a group without a consumer fills the server. A backend without `groups`
 * creates the group `default` only if the queue has no group yet, or if a consumer asks for it. `attempt` also counts what another process released, since the server counts deliveries. Who deletes the consumer of a group deletes the group, with what it had not
 * settled. A handler that blocks the event loop for longer than `lease` loses its messages to another consumer.
 *
 * Connects with the first publish or the first subscriber, and heals a lost connection by itself: consumers go on, publishes wait for `publishTimeout`.
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
   * @throws {TypeError | RangeError} for an option without sense; it names the option
   */
  constructor(options: NatsBackendOptions) {
    const checked = checkNatsOptions(options);
    super(checked, new NatsDriver(checked));
  }

  /**
   * The queue that the environment names: `NATS_URL`, and optionally `QUEUE_NAME` (default: `default`), `QUEUE_GROUPS` (a list with commas; default:
   * `default`), `QUEUE_LEASE` and `QUEUE_PUBLISH_TIMEOUT` (milliseconds; default: 30,000 and 10,000), `NATS_DOMAIN` (default: the domain of the server).
   * @throws {ConfigurationError} for a missing or malformed variable; it names the variable
   */
  static fromEnv<Events extends EventMap<Events> = AnyEvents>(
    env: Env = processEnv(),
    options?: NatsFromEnvOptions,
  ): NatsBackend<Events> {
    return new NatsBackend({ ...readNatsEnv(env), logger: checkOptions(options).logger });
  }
}

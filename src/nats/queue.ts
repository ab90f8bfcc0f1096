import type { Connection } from '../core/connection.js';
import type { EngineErrors } from '../core/engine-errors.js';
import type { NatsLink } from './link.js';
import type { QueueNames } from './names.js';
import type { CheckedNatsOptions } from './options.js';
import type { Topology } from './topology.js';

/** What all parts of a queue use. */
export interface NatsQueue {
  readonly options: CheckedNatsOptions;
  readonly names: QueueNames;
  readonly failures: EngineErrors;
  readonly connection: Connection<NatsLink>;
  readonly topology: Topology;
}

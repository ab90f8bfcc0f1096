import type { QueueBackend } from 'sluice';
import type { DriverOptions } from '../../src/core/options.js';
import type { ConsumerSettings } from '../support/consumer-process.js';
import type { ServerProcess } from '../support/servers/server-process.js';

/** A server for fault injection. */
export type FaultyServer = ServerProcess & { readonly url: string };

/** What the fault tests need to know about a broker. */
export interface Broker<Server extends FaultyServer = FaultyServer> {
  readonly title: string;
  readonly backend: ConsumerSettings['backend'];
  /**
   * Whether a resent message is stored once. If not, messages in transit during a lost connection
   * may be duplicated.
   */
  readonly storesOnce: boolean;
  /**
   * Whether the server writes a settlement to disk only some time after it was confirmed. If it is
   * killed before, it redelivers the message.
   */
  readonly settlesLate: boolean;
  /** Whether a release by another process counts as an attempt. */
  readonly countsReleases: boolean;
  /** Starts a server that keeps every confirmed message through any fault. */
  start(): Promise<Server>;
  /** Starts a server that requires a password, if the other one does not. */
  startLocked?(): Promise<Server>;
  /** Prepares a server that is killed right after its queues were created. */
  beforeKill?(server: Server): Promise<void>;
  open(options: DriverOptions & { readonly url: string }): QueueBackend;
}

import type { QueueBackend } from 'sluice';
import type { DriverOptions } from '../../src/core/options.js';
import type { ConsumerSettings } from '../support/consumer-process.js';
import type { ServerProcess } from '../support/servers/server-process.js';

/** A server to which something can be done. */
export type FaultyServer = ServerProcess & { readonly url: string };

/** What the fault tests have to know of a broker. */
export interface Broker<Server extends FaultyServer = FaultyServer> {
  /** What it is called. */
  readonly title: string;
  /** What its backend is called. */
  readonly backend: ConsumerSettings['backend'];
  /**
   * Whether a message that is sent again is stored once; else what was on its way when a connection
   * was lost may be there twice.
   */
  readonly storesOnce: boolean;
  /**
   * Whether a settlement is on the disk only some time after it was confirmed: a server that is
   * killed then delivers that message again.
   */
  readonly settlesLate: boolean;
  /** Whether a message that another process released counts as one more attempt. */
  readonly countsReleases: boolean;
  /** Starts a server that keeps every confirmed message, whatever happens to the server. */
  start(): Promise<Server>;
  /** Starts a server that asks for a password, if the other one does not. */
  startLocked?(): Promise<Server>;
  /** Prepares a server that is about to be killed right after its queues were created. */
  beforeKill?(server: Server): Promise<void>;
  open(options: DriverOptions & { readonly url: string }): QueueBackend;
}
